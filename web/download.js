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

/** The same answer, and `hear(bytes)` is told as its bytes come. */
export function counted(/** @type {Response} */ answer, hear) {
  if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
  const transform = (piece, passed) => (hear(piece.length), passed.enqueue(piece));
  return new Response(answer.body.pipeThrough(new TransformStream({ transform })), answer);
}

/** The bytes of a file, from the browser or else from the server. */
export async function getPart(/** @type {Part} */ part, hear) {
  const cache = await self.caches?.open(KEPT).catch(() => null); // a browser may refuse it
  const kept = await cache?.match(keyOf(part));
  const file = await read(part, kept, hear);
  if (!(await isWhole(part, file))) {
    if (!kept) throw new Error(`${part.name} has not the length or the hash that this site lists for it`);
    await cache.delete(keyOf(part));
    return getPart(part, hear);
  }
  if (kept) return file;
  await cache?.delete(urlOf(part), { ignoreSearch: true }); // of an older site
  await cache?.put(keyOf(part), new Response(file)).catch(() => {}); // no room: next time it is fetched again
  return file;
}

async function read(part, kept, hear) {
  const cache = self.caches ? "no-store" : "default"; // not kept twice
  try {
    const answer = kept ?? (await fetch(urlOf(part), { cache }));
    return new Uint8Array(await counted(answer, hear).arrayBuffer());
  } catch ({ message }) {
    throw new Error(`${part.name} did not come: ${message}`);
  }
}

async function isWhole({ bytes, sha256 }, file) {
  if (file.length !== bytes || !crypto.subtle) return file.length === bytes;
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", file));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("") === sha256;
}
