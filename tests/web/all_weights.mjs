// Prints which weights a recipe makes, and the hash of the data file that they are, as JSON.
// usage: node all_weights.mjs WEIGHTS.JS MODEL.GGUF RECIPE.JSON; holds one weight at a time

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [script, gguf, recipe] = process.argv.slice(2);
const { WeightsOnDemand } = await import(pathToFileURL(script));
const data = new WeightsOnDemand(new Uint8Array(readFileSync(gguf)), JSON.parse(readFileSync(recipe)));
const hash = createHash("sha256");
let at = 0;
for (const { offset, length } of data.recipe) {
  hash.update(new Uint8Array(offset - at)); // what lies between two weights is 0
  hash.update(data.subarray(offset, offset + length));
  at = offset + length;
}
console.log(JSON.stringify({ asked: data.asked, isTaken: data.isTaken, bytes: at, sha256: hash.digest("hex") }));
