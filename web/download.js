// Files of the panel, as the site lists them: fetched with their progress, checked by their hash, and kept in
// the browser for the next visit. A page that came over plain HTTP has neither hashes nor a cache.

const KEPT = "llm-walkthrough-parts";

/** @typedef {{name: string, bytes: number, sha256: string}} Part */
const urlOf = ({ name }) => new URL(name, import.meta.url);
const keyOf = (part) => `${urlOf(part)}?${part.sha256}`;

/** Are all of them in the browser already? */
export async function areKept(/** @type {Part[]} */ parts) {
  const found = await Promise.all(parts.map((part) => self.caches?.match(keyOf(part)).catch(() => null)));
  return found.every(Boolean);
}

/** The bytes of a file, from the browser or else from the server; `hear(bytes)` is told as they come. */
export async function getPart(/** @type {Part} */ part, hear) {
  const cache = await self.caches?.open(KEPT).catch(() => null); // a browser may refuse it
  const kept = new Uint8Array((await (await cache?.match(keyOf(part)))?.arrayBuffer()) ?? 0);
  if (await isWhole(part, kept)) {
    hear(kept.length);
    return kept;
  }
  const file = new Uint8Array(part.bytes);
  await download(part, file, hear);
  if (!(await isWhole(part, file))) throw new Error(`${part.name} has not the hash that this site lists for it`);
  await cache?.delete(urlOf(part), { ignoreSearch: true }); // of an older site
  await cache?.put(keyOf(part), new Response(file)).catch(() => {}); // no room: next time it is fetched again
  return file;
}

async function isWhole({ bytes, sha256 }, file) {
  if (file.length !== bytes || !crypto.subtle) return file.length === bytes;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}

async function download(part, file, hear) {
  let at = 0;
  try {
    const answer = await fetch(urlOf(part), { cache: self.caches ? "no-store" : "default" }); // not kept twice
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const reader = answer.body.getReader();
    for (let piece; !(piece = await reader.read()).done; at += piece.value.length) {
      file.set(piece.value, at); // fails when more comes than is listed
      hear(piece.value.length);
    }
  } catch ({ message }) {
    throw new Error(`${at} of ${part.bytes} bytes of ${part.name} came, then: ${message}`);
  }
}
