// The model: weights, session, keys and values. Whoever calls sends token ids and gets logits; each run has a
// number, under which the rows that it added to the cache are kept until they are freed. Knows no texts.

import { answerCalls } from "./messages.js";
import { WeightsOnDemand } from "./weights.js";

let ort, session;
let ports = []; // {past, present, kvHeads, headDim}: the names of each layer's keys and of its values
let newest = {}; // {id, length, past}: what the next token most likely needs, as tensors
let numRuns = 0;

/**
 * For each run: the one before it, where in the context it starts, how many tokens it has, and for each
 * port their rows [kvHeads, count, headDim].
 * @type {Map<number, {before: number, start: number, count: number, rows: Float32Array[]}>}
 */
const runs = new Map();

/** Make the session of what was downloaded. */
async function open({ engine, graph, gguf, recipe }) {
  ort = await import("./parts/ort/ort.wasm.min.mjs");
  Object.assign(ort.env.wasm, { wasmBinary: engine, numThreads: 1 });
  const weights = new WeightsOnDemand(gguf, recipe, (share) => postMessage({ stage: "weights", share }));
  const first = await openSession(graph, weights).catch((error) => {
    if (weights.isTaken) throw error;
  });
  session = weights.isTaken ? first : await openSession(graph, weights.whole());
  ports = session.inputMetadata.filter(({ name }) => name.startsWith("past_key_values.")).map(({ name, shape }) => ({
    past: name, present: name.replace("past_key_values", "present"), kvHeads: shape[1], headDim: shape[3],
  }));
}

function openSession(graph, data) {
  const externalData = [{ path: "model.onnx.data", data }];
  return ort.InferenceSession.create(graph, { executionProviders: ["wasm"], externalData });
}

/**
 * Run tokens after the first `length` tokens that run `id` and those before it have seen; run 0 has seen none.
 * @param {{tokens: number[], id: number, length: number}} wanted
 * @returns {Promise<{id: number, logits: Uint8Array, ms: number}>} the new run, float32 [tokens, vocab] as
 *   bytes, and how long the model took
 */
async function run({ tokens, id, length }) {
  const [count, total] = [tokens.length, length + tokens.length];
  const past = newest.id === id && newest.length === length ? newest.past : gatherPast(id, length);
  const feeds = { input_ids: int64(tokens), attention_mask: int64(Array(total).fill(1)) };
  ports.forEach((port, i) => (feeds[port.past] = past[i]));
  const began = performance.now();
  const out = await session.run(feeds);
  const ms = performance.now() - began;
  const present = ports.map((port) => out[port.present]);
  const rows = ports.map(({ kvHeads, headDim }, i) => {
    const added = new Float32Array(kvHeads * count * headDim);
    copyRows(ports[i], count, { data: present[i].data, length: total, at: length }, { data: added, length: count, at: 0 });
    return added;
  });
  runs.set(++numRuns, { before: id, start: length, count, rows });
  newest = { id: numRuns, length: total, past: present };
  return { id: numRuns, logits: new Uint8Array(out.logits.data.buffer), ms };
}

/** Put together the keys and values that runs have left: for each port a tensor [1, kvHeads, length, headDim]. */
function gatherPast(id, length) {
  return ports.map((port, i) => {
    const data = new Float32Array(port.kvHeads * length * port.headDim);
    for (let [from, end] = [id, length]; end > 0; ) {
      const { before, start, count, rows } = runs.get(from);
      if (end > start) copyRows(port, end - start, { data: rows[i], length: count, at: 0 }, { data, length, at: start });
      [from, end] = [before, Math.min(start, end)];
    }
    return new ort.Tensor("float32", data, [1, port.kvHeads, length, port.headDim]);
  });
}

/** Copy `count` rows of each head between two arrays [kvHeads, length, headDim], from and to row `at`. */
function copyRows({ kvHeads, headDim }, count, from, to) {
  for (let head = 0; head < kvHeads; head++) {
    const first = (head * from.length + from.at) * headDim;
    to.data.set(from.data.subarray(first, first + count * headDim), (head * to.length + to.at) * headDim);
  }
}

function int64(numbers) {
  return new ort.Tensor("int64", BigInt64Array.from(numbers, BigInt), [1, numbers.length]);
}

function free(id) {
  runs.delete(id);
  if (newest.id === id) newest = {};
}

const calls = { open, run, free, connect: (port) => answerCalls(port, calls) };
answerCalls(self, calls);
