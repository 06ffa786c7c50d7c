// The model: weights, session, keys and values. Whoever calls sends token ids and gets logits; a run has a
// number, and the rows that it added to the cache are kept until it is freed. Knows no texts.

import { getPart } from "./download.js";
import { expose, transfer } from "./parts/comlink/comlink.min.mjs";
import { letGo, WeightsOnDemand } from "./weights.js";

const PIECE = 64; // tokens at a time: the logits of one take 200 KB of memory that the session never gives back

let ort, session;
let ports; // {past, present, heads, headDim} of each layer's keys and of its values

/**
 * What some tokens added to the cache: [heads, count, headDim] rows for each port, `start` tokens after the first.
 * @typedef {{start: number, count: number, rows: Float32Array[]}} Piece
 * @type {Map<number, Piece[]>} the pieces of a run and of those before it: a later one counts
 */
const runs = new Map();
let numRuns = 0;
let newest = {}; // {piece, length, past}: the tensors that the next token most likely needs

/** Get the engine, the graph, the recipe of its weights and their file; tells which weights the engine asked for. */
async function open(/** @type {import("./download.js").Part[]} */ parts, told) {
  const all = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  let come = 0;
  const hear = (bytes) => told("bytes", (come += bytes) / all);
  const [engine, graph, recipe, gguf] = await Promise.all(parts.map((part) => getPart(part, hear)));
  ort = await import("./parts/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { wasmBinary: engine, numThreads: 1 });
  const made = (share) => told("weights", share);
  const weights = new WeightsOnDemand(gguf, JSON.parse(new TextDecoder().decode(recipe)), made);
  session = await openSession(graph, weights).catch((error) => {
    if (weights.isTaken) throw error;
  });
  if (!weights.isTaken) session = await openSession(graph, weights.whole());
  [engine, gguf, weights.made].forEach(letGo);
  const pasts = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
  ports = pasts.map(({ name: past, shape: [, heads, , headDim] }) => {
    return { past, present: past.replace("past_key_values", "present"), heads, headDim };
  });
  return { asked: weights.asked };
}

function openSession(graph, data) {
  const externalData = [{ path: "model.onnx.data", data }];
  // weights that are laid out anew would be in memory twice for a while
  const extra = { session: { disable_prepacking: "1" } };
  const providers = { executionProviders: ["wasm"] };
  return ort.InferenceSession.create(graph, { ...providers, externalData, extra });
}

/**
 * Run tokens after the first `length` tokens of run `id` and of those before it; run 0 has none.
 * @returns {Promise<{id: number, logits: Float32Array, ms: number}>} the new run, [tokens, vocab], its time
 */
async function run(/** @type {{tokens: number[], id: number, length: number}} */ { tokens, id, length }) {
  let [pieces, logits] = [runs.get(id) ?? [], null];
  const began = performance.now();
  for (let at = 0; at < tokens.length; at += PIECE) {
    const { piece, rows } = await runPiece(tokens.slice(at, at + PIECE), pieces, length + at);
    pieces = [...pieces.filter(({ start }) => start < piece.start), piece]; // without what was undone
    logits ??= new Float32Array(tokens.length * rows.dims[2]);
    logits.set(rows.data, at * rows.dims[2]);
    letGo(rows.data);
  }
  runs.set(++numRuns, pieces);
  return transfer({ id: numRuns, logits, ms: performance.now() - began }, [logits.buffer]);
}

/** Run a few tokens after the first `start` tokens of `pieces`; returns what they add, and their logits. */
async function runPiece(tokens, pieces, start) {
  const [count, total] = [tokens.length, start + tokens.length];
  const isNext = newest.length === start && newest.piece === pieces.at(-1);
  const past = isNext ? newest.past : gatherPast(pieces, start);
  const feeds = { input_ids: int64(tokens), attention_mask: int64(Array(total).fill(1)) };
  ports.forEach((port, i) => (feeds[port.past] = past[i]));
  const out = await session.run(feeds);
  const rows = ports.map((port) => {
    const added = new Float32Array(port.heads * count * port.headDim);
    copyRows(port, count, [out[port.present].data, total, start], [added, count, 0]);
    return added;
  });
  past.forEach(({ data }) => letGo(data));
  const piece = { start, count, rows };
  newest = { piece, length: total, past: ports.map(({ present }) => out[present]) };
  return { piece, rows: out.logits };
}

/** Put together the first rows of some pieces: for each port a tensor [1, heads, length, headDim]. */
function gatherPast(pieces, length) {
  return ports.map((port, i) => {
    const data = new Float32Array(port.heads * length * port.headDim);
    for (const { start, count, rows } of pieces) {
      copyRows(port, Math.min(count, length - start), [rows[i], count, 0], [data, length, start]);
    }
    return new ort.Tensor("float32", data, [1, port.heads, length, port.headDim]);
  });
}

/** Copy `count` rows of each head from one array [heads, length, headDim] to another, from and to row `at`. */
function copyRows({ heads, headDim }, count, [source, sourceLength, from], [target, targetLength, to]) {
  for (let head = 0; head < heads; head++) {
    const first = (head * sourceLength + from) * headDim;
    target.set(source.subarray(first, first + count * headDim), (head * targetLength + to) * headDim);
  }
}

const int64 = (numbers) => new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);

expose({ open, run, free: (id) => void runs.delete(id) });
