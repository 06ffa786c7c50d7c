// Files of the site as parts.json lists them: fetched with their progress, checked, and kept in the browser
// for the next visit. Knows nothing of what is in them.

const KEPT = "llm-walkthrough-parts"; // a page that came over plain HTTP has no such cache, nor hashes

/** @typedef {{name: string, bytes: number, sha256: string}} Part */

const urlOf = ({ name }) => new URL(name, import.meta.url);
const keyOf = (part) => `${urlOf(part)}?${part.sha256}`;

/** Are all of these in the browser already? */
export async function areKept(/** @type {Part[]} */ parts) {
  const found = await Promise.all(parts.map((part) => self.caches?.match(keyOf(part)).catch(() => null)));
  return found.every(Boolean);
}

/** The bytes of a file, from the browser or from the server; `hear(bytes)` is told as they come. */
export async function getPart(/** @type {Part} */ part, hear) {
  const cache = await self.caches?.open(KEPT).catch(() => null); // a browser may refuse it
  const kept = new Uint8Array(await (await cache?.match(keyOf(part)))?.arrayBuffer() ?? 0);
  if (await isWhole(part, kept)) {
    hear(kept.length);
    return kept;
  }
  const file = await download(part, hear);
  if (!(await isWhole(part, file))) {
    throw new Error(`${part.name} is not the file that this site lists: its hash is another one`);
  }
  await cache?.delete(urlOf(part), { ignoreSearch: true }); // of an older site
  await cache?.put(keyOf(part), new Response(file)).catch(() => {}); // no room: then it is fetched again
  return file;
}

async function isWhole({ bytes, sha256 }, file) {
  if (file.length !== bytes || !self.crypto.subtle) return file.length === bytes;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

async function download(part, hear) {
  const file = new Uint8Array(part.bytes);
  let at = 0;
  try {
    const answer = await fetch(urlOf(part), { cache: self.caches ? "no-store" : "default" }); // not kept twice
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const reader = answer.body.getReader();
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      file.set(piece.value, at);
      at += piece.value.length;
      hear(piece.value.length);
    }
    if (at < part.bytes) throw new Error("the connection was closed");
  } catch (error) {
    const [come, all] = [at, part.bytes].map((bytes) => bytes.toLocaleString("en"));
    throw new Error(`${come} of ${all} bytes of ${part.name} came, then: ${error.message}`);
  }
  return file;
}
