// The panel's place in the start page: offers the model, loads it, then shows the panel that Python draws.
// What it says stands in loading.html. Knows nothing of tokens, and computes nothing itself.

import { areKept, getPart } from "./download.js";
import { callsTo } from "./messages.js";

const PARTS = {
  engine: "parts/ort/ort-wasm-simd-threaded.wasm", graph: "model/model.onnx",
  recipe: "model/recipe.json", gguf: "model/weights.gguf",
};
const SILENT = "No answer for a second: the model is still reading. A long text takes some seconds in a browser.";
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

const place = document.getElementById("panel");
const here = (name) => new URL(name, import.meta.url);
const find = (attribute, name) => place.querySelectorAll(`[data-${attribute}=${name}]`);
let workers = [];

/** Show the parts of the page that belong to this state, and say something. */
function show(state, words = {}) {
  place.dataset.state = state;
  for (const part of place.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(state);
  }
  for (const [name, text] of Object.entries(words)) find("fill", name).forEach((one) => (one.textContent = text));
}

function showBar(name, share, text = `${Math.floor(100 * share)} %`) {
  find("bar", name)[0].value = share;
  find("fill", name)[0].textContent = text;
}

/** What this browser lacks, in words; nothing if it can run the model. */
function lack() {
  let isModule = false; // a browser that knows no workers that are modules does not look at `type`
  const options = { get type() { return (isModule = true) && "module"; } };
  new Worker(here("messages.js"), options).terminate();
  if (!isModule) return "workers that are modules";
  return WebAssembly.validate(new Uint8Array(SIMD)) ? "" : "WebAssembly with SIMD";
}

function isSmall() {
  const isPhone = Math.min(screen.width, screen.height) < 600 && matchMedia("(pointer: coarse)").matches;
  return navigator.deviceMemory < 4 || navigator.userAgentData?.mobile || isPhone; // some tell neither
}

/** @returns {Promise<import('./download.js').Part[]>} all files of the panel */
async function listParts() {
  const answer = await fetch(here("parts.json"), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`the server answered ${answer.status} when it was asked for parts.json`);
  return answer.json();
}
const ofModel = (parts) => Object.values(PARTS).map((name) => parts.find((part) => part.name === name));

async function offer() {
  place.insertAdjacentHTML("afterbegin", await (await fetch(here("loading.html"))).text());
  find("do", "start").forEach((button) => button.addEventListener("click", () => load().catch(fail)));
  if (lack()) return show("old", { lack: lack() });
  const parts = await listParts();
  const size = Math.round(parts.reduce((sum, { bytes }) => sum + bytes, 0) / 1e6);
  if (!isSmall() && (await areKept(ofModel(parts)))) return load();
  show(isSmall() ? "small" : "offer", { size });
}

function fail({ message }) {
  workers.forEach((worker) => worker.terminate());
  show("failed", { trouble: message.trim().split("\n").at(-1).replace(/\.$/, ""), status: "" });
}

/** Start a worker; returns the function that calls it. */
function start(script) {
  const worker = new Worker(here(script), { type: "module" });
  workers.push(worker);
  return callsTo(worker, showBar);
}

async function load() {
  show("loading", { status: "The model is being downloaded. Meanwhile, read on." });
  find("fill", "status")[0].focus({ preventScroll: true });
  workers = [];
  const [askModel, askPython] = [start("model_worker.js"), start("python_worker.js")];
  const { port1, port2 } = new MessageChannel();
  const parts = ofModel(await listParts());
  await Promise.all([
    openModel(askModel, port1, parts),
    askPython("open", { port: port2 }, [port2]),
  ]);
  show("loading", { status: "The model reads its first text." });
  await showPanel(askPython, await askPython("begin", {}));
  const kept = (await areKept(parts))
    ? "Your browser keeps the model: the next visit starts without a download."
    : "Your browser did not keep the model: the next visit downloads it again.";
  show("ready", { status: "Ready: press Step.", kept });
}

async function openModel(askModel, port, parts) {
  const all = parts.reduce((sum, { bytes }) => sum + bytes, 0);
  let come = 0;
  const hear = (bytes) => {
    come += bytes;
    showBar("bytes", come / all, `${Math.floor(come / 1e6)} of ${Math.floor(all / 1e6)} MB`);
  };
  const [engine, graph, recipe, gguf] = await Promise.all(parts.map((part) => getPart(part, hear)));
  show("loading", { status: "The model is here. Its weights are being unpacked." });
  await askModel("connect", port, [port]);
  const made = JSON.parse(new TextDecoder().decode(recipe));
  await askModel("open", { engine, graph, gguf, recipe: made }, [engine.buffer, graph.buffer, gguf.buffer]);
}

/** Show the panel: what a widget's model does, done with messages to the worker that runs Python. */
async function showPanel(ask, { script, style, values }) {
  const listeners = {}; // event to function
  let queue = Promise.resolve(); // an event is sent when the one before was answered
  const set = (fresh) => {
    const changed = Object.keys(fresh).filter((name) => `${fresh[name]}` !== `${values[name]}`);
    Object.assign(values, fresh);
    changed.forEach((name) => listeners[`change:${name}`]?.());
  };
  const send = async (event) => {
    const { values: fresh, sent } = await ask("event", JSON.stringify(event));
    set(fresh);
    sent.forEach((content) => listeners["msg:custom"]?.(content));
  };
  const model = {
    get: (name) => (name === "silent" ? SILENT : values[name]),
    on: (event, listener) => (listeners[event] = listener),
    off: (event) => delete listeners[event],
    send(event) {
      queue = queue.then(() => send(event)).catch(({ message }) => {
        show("ready", { broken: `This was not taken: ${message.trim().split("\n").at(-1)}` });
        set({ heard: [event.view, event.number] });
      });
    },
  };
  document.head.append(Object.assign(document.createElement("style"), { textContent: style }));
  const panel = await import(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
  panel.default.render({ model, el: place.querySelector(".load-panel") });
}

offer().catch(fail);
