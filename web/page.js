// The panel's place in the start page: offers the model, loads it, then shows the panel that Python draws.
// What it says stands in loading.html. Knows nothing of tokens, and computes nothing itself.

import { areKept } from "./download.js";
import { callsTo } from "./messages.js";
import { showPanel } from "./shell.js";

const MODEL = ["parts/ort/ort-wasm-simd-threaded.wasm", "model/model.onnx", "model/recipe.json", "model/weights.gguf"];
const SILENT = "No answer for a second: the model is still reading. A long text takes some seconds in a browser.";
// a function that returns the SIMD vector i8x16.splat(0)
const SIMD = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];

const place = document.getElementById("panel");
const here = (name) => new URL(name, import.meta.url);
const find = (attribute, name) => place.querySelectorAll(`[data-${attribute}=${name}]`);
const sumOf = (parts) => parts.reduce((sum, { bytes }) => sum + bytes, 0);
const lastLine = ({ message }) => message.trim().split("\n").at(-1); // of Python's traceback
let workers = [];

/** Show the parts of the page that belong to this state, and fill in words. */
function show(state, words = {}) {
  place.dataset.state = state;
  for (const part of place.querySelectorAll("[data-for]")) {
    part.hidden = !part.dataset.for.split(" ").includes(state);
  }
  for (const [name, text] of Object.entries(words)) find("fill", name).forEach((one) => (one.textContent = text));
}

function showBar(name, share, text) {
  find("bar", name)[0].value = share;
  find("fill", name)[0].textContent = text || `${Math.floor(100 * share)} %`;
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
  return navigator.deviceMemory < 4 || navigator.userAgentData?.mobile || isPhone; // some browsers tell neither
}

async function offer() {
  place.insertAdjacentHTML("afterbegin", await (await fetch(here("loading.html"))).text());
  find("do", "start").forEach((button) => button.addEventListener("click", () => load().catch(fail)));
  const lacking = lack();
  if (lacking) return show("old", { lack: lacking });
  const parts = await listParts();
  if (!isSmall() && (await areKept(ofModel(parts)))) return load();
  show(isSmall() ? "small" : "offer", { size: Math.round(sumOf(parts) / 1e6) });
}

/** @returns {Promise<import("./download.js").Part[]>} all files of the panel */
async function listParts() {
  const answer = await fetch(here("parts.json"), { cache: "no-cache" });
  if (!answer.ok) throw new Error(`the server answered ${answer.status} when it was asked for parts.json`);
  return answer.json();
}
const ofModel = (parts) => MODEL.map((name) => parts.find((part) => part.name === name));

function fail(error) {
  workers.forEach((worker) => worker.terminate());
  show("failed", { trouble: `The panel could not start: ${lastLine(error)}`, status: "" });
}

async function load() {
  show("loading", { status: "The model is being downloaded. Meanwhile, read on.", trouble: "" });
  find("fill", "status")[0].focus({ preventScroll: true });
  const parts = ofModel(await listParts());
  const megabytes = sumOf(parts) / 1e6;
  const hear = (stage, share) =>
    showBar(stage, share, stage === "bytes" && `${Math.floor(share * megabytes)} of ${Math.floor(megabytes)} MB`);
  workers = ["model_worker.js", "python_worker.js"].map((name) => new Worker(here(name), { type: "module" }));
  const [askModel, askPython] = workers.map((worker) => callsTo(worker, hear));
  const { port1, port2 } = new MessageChannel();
  await Promise.all([
    askModel("connect", port1, [port1]),
    askModel("open", parts),
    askPython("open", { port: port2 }, [port2]),
  ]);
  show("loading", { status: "The model reads its first text." });
  const { values } = await askPython("begin", { ...place.dataset });
  const again = (await areKept(parts)) ? "starts without a download" : "downloads it again, for want of room";
  show("ready", { status: "Ready: press Step.", again });
  showPanel(place.querySelector(".load-panel"), { ...values, silent: SILENT }, (event) => tell(askPython, event));
}

/** Tell Python what the learner does; returns what the panel shows then. */
async function tell(askPython, event) {
  try {
    const { values, sent } = await askPython("event", JSON.stringify(event));
    show("ready", { trouble: "" });
    return { ...values, file: sent[0]?.file };
  } catch (error) {
    show("ready", { trouble: `This was not taken: ${lastLine(error)}` });
    return { heard: [event.view, event.number] };
  }
}

offer().catch(fail);
