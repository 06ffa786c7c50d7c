// The float32 weights of the graph, made from the GGUF file by the recipe beside it: what the conversion
// writes into model.onnx.data, byte for byte. Knows nothing of networks, workers and sessions.

const BLOCK = 32; // weights that share a scale
const BYTES = { Q4_1: 20, Q8_0: 34 }; // of a block
const UNPACK = { Q4_1: unpackQ4_1, Q8_0: unpackQ8_0 };

/** The value of each of the 65,536 float16 numbers, by its bits. */
const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * 2 ** ((exponent || 1) - 25) * (exponent ? 1024 + fraction : fraction);
});

/**
 * A weight of the graph, as tools/build_site/recipe.py tells of it: `length` bytes of the data file from
 * `offset` on are the rows of the tensors in `parts`, or cosines or sines (`wave`) [positions, pairs].
 * @typedef {{kind: string, start: number, rows: number, columns: number, head_dim: number}} Part
 * @typedef {{name: string, offset: number, length: number, parts: Part[]?, wave: string?, turns: number[]?}} Weight
 */

/**
 * @param {Uint8Array} gguf the whole file
 * @param {Weight} weight
 * @returns {Float32Array} its numbers, row after row
 */
export function makeWeight(gguf, { length, parts, wave, turns }) {
  const out = new Float32Array(length / 4);
  if (wave) {
    const turn = (_, at) => Math[wave](Math.floor(at / turns.length) * turns[at % turns.length]);
    return out.map(turn);
  }
  let at = 0;
  for (const { kind, start, rows, columns, head_dim: headDim } of parts) {
    for (let row = 0; row < rows; row++, at += columns) {
      const stored = headDim ? pairedRow(row, headDim) : row;
      UNPACK[kind](gguf, start + (stored * columns * BYTES[kind]) / BLOCK, out, at, at + columns);
    }
  }
  return out;
}

/** In a head of 64, the file has the neighbours (0, 1), (2, 3) … where the graph has (0, 32), (1, 33) … */
function pairedRow(row, headDim) {
  const inHead = row % headDim;
  return row - inHead + (inHead % (headDim / 2)) * 2 + Math.floor(inHead / (headDim / 2));
}

function unpackQ4_1(gguf, from, out, to, end) {
  for (; to < end; to += BLOCK, from += BYTES.Q4_1) { // scale, minimum, 32 codes
    const scale = HALF[gguf[from] | (gguf[from + 1] << 8)];
    const least = HALF[gguf[from + 2] | (gguf[from + 3] << 8)];
    for (let i = 0; i < 16; i++) {
      const codes = gguf[from + 4 + i];
      out[to + i] = scale * (codes & 15) + least;
      out[to + i + 16] = scale * (codes >> 4) + least;
    }
  }
}

function unpackQ8_0(gguf, from, out, to, end) {
  for (; to < end; to += BLOCK, from += BYTES.Q8_0) { // scale, 32 codes with a sign
    const scale = HALF[gguf[from] | (gguf[from + 1] << 8)];
    for (let i = 0; i < BLOCK; i++) out[to + i] = scale * ((gguf[from + 2 + i] << 24) >> 24);
  }
}

/**
 * A data file that is never there as a whole, which saves 540 MB: onnxruntime-web looks at `byteLength`, and
 * takes each weight by a call of `subarray`, which makes it. Whether it still does so, `isTaken` tells.
 */
export class WeightsOnDemand extends Uint8Array {
  /** `hear` is told the share of weights that were asked for. */
  constructor(gguf, /** @type {Weight[]} */ recipe, hear = () => {}) {
    super(0);
    Object.assign(this, { gguf, recipe, hear, asked: [] });
  }
  get byteLength() {
    return Math.max(...this.recipe.map(({ offset, length }) => offset + length));
  }
  get isTaken() {
    return new Set(this.asked).size === this.recipe.length;
  }
  subarray(begin, end) {
    const weight = this.recipe.find(({ offset, length }) => offset === begin && offset + length === end);
    if (!weight) throw new Error(`the bytes ${begin} to ${end} of the data file are no weight`);
    this.asked.push(weight.name);
    this.hear(this.asked.length / this.recipe.length);
    return new Uint8Array(makeWeight(this.gguf, weight).buffer);
  }
  /** All of it at once, for an onnxruntime-web that does otherwise. */
  whole() {
    const file = new Uint8Array(this.byteLength);
    for (const weight of this.recipe) file.set(new Uint8Array(makeWeight(this.gguf, weight).buffer), weight.offset);
    return file;
  }
}
