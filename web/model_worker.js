// The model: weights, session, keys and values. Whoever calls sends token ids and gets logits; a run has a
// number, and the rows that it added to the cache are kept until it is freed. Knows no texts.

import { getPart } from "./download.js";
import { answerCalls } from "./messages.js";
import { letGo, WeightsOnDemand } from "./weights.js";

let ort, session;
let ports; // {past, present, heads, headDim} of each layer's keys and of its values
let newest = {}; // {id, length, past}: the tensors that the next token most likely needs
let numRuns = 0;

/**
 * Of each run: the run before it, the place of its first token, and [heads, count, headDim] rows for each port.
 * @type {Map<number, {before: number, start: number, count: number, rows: Float32Array[]}>}
 */
const runs = new Map();

/** Download the engine, the graph, the recipe of its weights and their file, and make the session. */
async function open(/** @type {import("./download.js").Part[]} */ parts) {
  const all = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  let come = 0;
  const hear = (bytes) => postMessage({ stage: "bytes", share: (come += bytes) / all });
  const [engine, graph, recipe, gguf] = await Promise.all(parts.map((part) => getPart(part, hear)));
  ort = await import("./parts/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { wasmBinary: engine, numThreads: 1 });
  const weights = new WeightsOnDemand(gguf, JSON.parse(new TextDecoder().decode(recipe)), (share) =>
    postMessage({ stage: "weights", share }));
  session = await openSession(graph, weights).catch((error) => {
    if (weights.isTaken) throw error;
  });
  if (!weights.isTaken) session = await openSession(graph, weights.whole());
  [engine, gguf, weights.made].forEach(letGo);
  const pasts = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values."));
  ports = pasts.map(({ name: past, shape: [, heads, , headDim] }) => {
    return { past, present: past.replace("past_key_values", "present"), heads, headDim };
  });
}

function openSession(graph, data) {
  const externalData = [{ path: "model.onnx.data", data }];
  return ort.InferenceSession.create(graph, { executionProviders: ["wasm"], externalData });
}

/**
 * Run tokens after the first `length` tokens of run `id` and of those before it; run 0 has none.
 * @param {{tokens: number[], id: number, length: number}} wanted
 * @returns {Promise<{id: number, logits: Uint8Array, ms: number}>} the new run, its float32 logits
 *   [tokens, vocab] as bytes, and how long the model took
 */
async function run({ tokens, id, length }) {
  const count = tokens.length;
  const past = newest.id === id && newest.length === length ? newest.past : gatherPast(id, length);
  const feeds = { input_ids: int64(tokens), attention_mask: int64(Array(length + count).fill(1)) };
  ports.forEach((port, i) => (feeds[port.past] = past[i]));
  const began = performance.now();
  const out = await session.run(feeds);
  const ms = performance.now() - began;
  const rows = ports.map((port) => {
    const added = new Float32Array(port.heads * count * port.headDim);
    copyRows(port, count, [out[port.present].data, length + count, length], [added, count, 0]);
    return added;
  });
  runs.set(++numRuns, { before: id, start: length, count, rows });
  newest = { id: numRuns, length: length + count, past: ports.map(({ present }) => out[present]) };
  return { id: numRuns, logits: new Uint8Array(out.logits.data.buffer), ms };
}

/** Put together what runs have left: for each port a tensor [1, heads, length, headDim]. */
function gatherPast(id, length) {
  return ports.map((port, i) => {
    const data = new Float32Array(port.heads * length * port.headDim);
    for (let [from, end] = [id, length]; end > 0; ) {
      const { before, start, count, rows } = runs.get(from);
      if (end > start) copyRows(port, end - start, [rows[i], count, 0], [data, length, start]);
      [from, end] = [before, Math.min(start, end)];
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

function free(id) {
  runs.delete(id);
  if (newest.id === id) newest = {};
}

const calls = { open, run, free, connect: (port) => answerCalls(port, calls) };
answerCalls(self, calls);
