// Plays onnxruntime-web: takes the weights as it does, and its logits are made up. Its "graph" is JSON.

const vocab = 4;
export const env = { wasm: {} };

export class Tensor {
  constructor(type, data, dims) {
    Object.assign(this, { type, data, dims });
  }
}

export const InferenceSession = {
  async create(graph, { externalData: [{ data }] }) {
    const { ranges } = JSON.parse(new TextDecoder().decode(graph));
    const sums = ranges.map(([begin, end]) => data.subarray(begin, end).reduce((sum, byte) => sum + byte, 0));
    const sum = sums.reduce((one, other) => one + other, 0);
    return {
      inputMetadata: ["key", "value"].map((part) => ({ name: `past_key_values.0.${part}`, shape: ["b", 1, "p", 2] })),
      run: async (feeds) => outputs(feeds, sum),
    };
  },
};

/** Keys and values that tell the token and its place; logits that tell the whole context and the weights. */
function outputs(feeds, sum) {
  const tokens = [...feeds.input_ids.data].map(Number);
  const present = (part) => {
    const { data, dims } = feeds[`past_key_values.0.${part}`];
    const rows = tokens.flatMap((token, i) => [token, dims[2] + i]);
    return new Tensor("float32", Float32Array.from([...data, ...rows]), [1, 1, dims[2] + tokens.length, 2]);
  };
  const [key, value] = [present("key"), present("value")];
  const start = key.dims[2] - tokens.length;
  const mixed = (one, other) => (31 * one + other) % 16777213; // float32 has all whole numbers up to there
  const seen = tokens.map((_, i) => key.data.slice(0, 2 * (start + i + 1)).reduce(mixed, 0));
  const logits = Float32Array.from(seen.flatMap((context) => [context, sum, start, feeds.attention_mask.dims[1]]));
  return {
    "present.0.key": key,
    "present.0.value": value,
    logits: new Tensor("float32", logits, [1, tokens.length, vocab]),
  };
}
