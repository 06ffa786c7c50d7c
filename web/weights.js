// The float32 weights of the graph, made from the GGUF file by the recipe beside it: what the conversion
// writes into model.onnx.data, byte for byte. Knows nothing of networks, workers and sessions.

const BYTES = { Q4_1: 20, Q8_0: 34 }; // of a block of 32 weights

/** The value of each of the 65,536 float16 numbers, by its bits; a scale is finite. */
const HALF = Float32Array.from({ length: 65536 }, (_, bits) => {
  const [sign, exponent, fraction] = [bits >> 15 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return sign * 2 ** ((exponent || 1) - 25) * (exponent ? 1024 + fraction : fraction);
});

/**
 * One weight of the graph; see tools/build_site/recipe.py.
 * @typedef {{kind: string, start: number, rows: number, columns: number, order: number[]}} Part
 * @typedef {{name: string, offset: number, length: number, parts: Part[]?, wave: string?, turns: number[]?}} Weight
 * @returns {Uint8Array} its float32 numbers, row after row, as bytes
 */
export function makeWeight(/** @type {Uint8Array} */ gguf, /** @type {Weight} */ { length, parts = [], wave, turns }) {
  const turn = (_, at) => Math[wave](Math.floor(at / turns.length) * turns[at % turns.length]); // [positions, turns]
  const out = wave ? Float32Array.from({ length: length / 4 }, turn) : new Float32Array(length / 4);
  let to = 0;
  for (const { kind, start, rows, columns, order } of parts) {
    for (let row = 0; row < rows; row++, to += columns) {
      const inHead = row % order.length;
      const block = ((row - inHead + order[inHead]) * columns) / 32;
      unpack(kind, gguf, start + block * BYTES[kind], out.subarray(to, to + columns));
    }
  }
  return new Uint8Array(out.buffer);
}

/** Unpack blocks of 32 codes, from byte `from` on: each has its scale first, in Q4_1 then its least value. */
function unpack(kind, gguf, from, out) {
  const half = (at) => HALF[gguf[at] | (gguf[at + 1] << 8)];
  for (let to = 0; to < out.length; to += 32, from += BYTES[kind]) {
    const [scale, least] = [half(from), half(from + 2)];
    for (let i = 0; i < 16 && kind === "Q4_1"; i++) {
      out[to + i] = scale * (gguf[from + 4 + i] & 15) + least;
      out[to + i + 16] = scale * (gguf[from + 4 + i] >> 4) + least;
    }
    for (let i = 0; i < 32 && kind === "Q8_0"; i++) {
      out[to + i] = scale * ((gguf[from + 2 + i] << 24) >> 24); // with its sign
    }
  }
}

/** Free the memory of an array now, where the browser can, and not when its collector comes by. */
export const letGo = (array) => array?.buffer.transfer?.(0);

/**
 * A data file that is never there as a whole, which saves 540 MB: onnxruntime-web looks at `byteLength`, and
 * takes each weight by a call of `subarray`, which makes it. Whether it still does so, `isTaken` tells.
 */
export class WeightsOnDemand extends Uint8Array {
  constructor(gguf, /** @type {Weight[]} */ recipe, /** told the share that was made */ hear) {
    super(0);
    Object.assign(this, { gguf, recipe, hear, asked: [] }); // asked: names, in order
  }
  get byteLength() {
    return Math.max(...this.recipe.map(({ offset, length }) => offset + length));
  }
  get isTaken() {
    return new Set(this.asked).size === this.recipe.length;
  }
  subarray(begin, end) {
    const weight = this.recipe.find(({ offset, length }) => offset === begin && offset + length === end);
    if (!weight) throw new Error(`bytes ${begin} to ${end} of the data file are no weight`);
    this.asked.push(weight.name);
    this.hear?.(this.asked.length / this.recipe.length);
    letGo(this.made); // it was copied
    return (this.made = makeWeight(this.gguf, weight));
  }
  /** All of it at once, for an onnxruntime-web that does otherwise. */
  whole() {
    const file = new Uint8Array(this.byteLength);
    for (const weight of this.recipe) file.set(makeWeight(this.gguf, weight), weight.offset);
    return file;
  }
}
