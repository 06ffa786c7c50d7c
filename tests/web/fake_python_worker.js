// Plays the worker that runs Python: its page has a counter, a step that runs the model, and one that fails.

import { expose, proxy, wrap } from "./parts/comlink/comlink.min.mjs";

let model;
let steps = 0;
let run = { id: 0, length: 0 };

function state(heard = ["", 0]) {
  const page = `<div class="lw-panel" role="group" aria-label="a panel" tabindex="-1">
    <button type="button" class="lw-button" data-action="step" data-key="ArrowRight">Step</button>
    <button type="button" class="lw-button" data-action="fail">Fail</button>
    <button type="button" class="lw-button" data-action="save">Save</button><p class="lw-where">step ${steps}</p></div>`;
  return { page, frame: steps, heard };
}

async function step() {
  const { id } = await model.run({ tokens: [7], ...run });
  run = { id, length: run.length + 1 };
  steps += 1;
}

expose({
  open: async ({ parts }, told) => {
    model = wrap(new Worker(new URL("model_worker.js", import.meta.url), { type: "module" }));
    await model.open(parts, proxy((...progress) => told(...progress)));
    await told("python", 1);
    return state();
  },
  event: async ({ action, view, number }) => {
    if (action === "fail") throw new Error("Traceback (most recent call last):\n  …\nInputError: no such token");
    if (action === "step") await step();
    const file = { name: "run.json", text: "{}", type: "application/json" };
    return { ...state([view, number]), file: action === "save" ? file : undefined };
  },
});
