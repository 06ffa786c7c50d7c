// The panel's place in the start page: offers the model, loads it, then shows the panel that Python draws.
// What it says stands in loading.html, and page.css shows of it what belongs to `data-state`. Computes nothing itself.

import { areKept } from "./download.js";
import { proxy, wrap } from "./parts/comlink/comlink.min.mjs";
import { showPanel } from "./shell.js";

const SILENT = "No answer for a second: the model is still reading. A long text takes some seconds in a browser.";

const place = document.getElementById("panel");
const here = (name) => new URL(name, import.meta.url);
const find = (attribute, name) => place.querySelectorAll(`[data-${attribute}=${name}]`);
const lastLine = ({ message }) => message.trim().split("\n").at(-1); // of Python's traceback
let worker;
let listed; // {parts: the files that are checked and kept, sizes: the bytes of these and of Python's}

/** Show what belongs to a state, and fill in words. */
function show(state, words = {}) {
  place.dataset.state = state;
  for (const [name, text] of Object.entries(words)) find("fill", name).forEach((one) => (one.textContent = text));
}

function isSmall() {
  const isPhone = Math.min(screen.width, screen.height) < 600 && matchMedia("(pointer: coarse)").matches;
  return navigator.deviceMemory < 4 || navigator.userAgentData?.mobile || isPhone; // some browsers tell neither
}

async function offer() {
  const words = await fetch(here("loading.html"), { cache: "no-cache" });
  place.insertAdjacentHTML("afterbegin", await words.text());
  find("do", "start").forEach((button) => button.addEventListener("click", load));
  // no browser that has these two lacks WebAssembly with SIMD, or workers that are modules
  if (!self.CompressionStream || !self.structuredClone) return show("old");
  listed = await (await fetch(here("parts.json"), { cache: "no-cache" })).json();
  if (!isSmall() && (await areKept(listed.parts))) return load();
  show(isSmall() ? "small" : "offer", { size: Math.round((listed.sizes.bytes + listed.sizes.python) / 1e6) });
}

function fail(error) {
  worker?.terminate();
  show("failed", { trouble: `The panel could not start: ${lastLine(error)}`, status: "" });
}

function showProgress(stage, share) {
  const all = listed.sizes[stage] / 1e6; // the weights have none: they are made here
  const come = `${Math.round(share * all)} of ${Math.round(all)} MB`;
  find("bar", stage)[0].value = share;
  find("fill", stage)[0].textContent = stage === "weights" ? `${Math.floor(100 * share)} %` : come;
}

async function load() {
  show("loading", { status: "The model is being loaded. Meanwhile, read on.", trouble: "" });
  find("fill", "status")[0].focus({ preventScroll: true });
  worker = new Worker(here("python_worker.js"), { type: "module" });
  worker.onerror = (event) => {
    event.preventDefault(); // it is told to the reader
    fail(new Error(event.message || "a part of this page could not be loaded"));
  };
  const python = wrap(worker);
  try {
    const values = await python.open({ ...listed, ...place.dataset }, proxy(showProgress));
    const again = (await areKept(listed.parts)) ? "starts without a download" : "downloads it again, for want of room";
    show("ready", { status: "Ready: press Step.", again });
    showPanel(place.querySelector(".load-panel"), { ...values, silent: SILENT }, (event) => tell(python, event));
  } catch (error) {
    fail(error);
  }
}

/** Tell Python what the learner does; returns what the panel shows then. */
async function tell(python, event) {
  try {
    const values = await python.event(event);
    show("ready", { trouble: "" });
    return values;
  } catch (error) {
    show("ready", { trouble: `This was not taken: ${lastLine(error)}` });
    return { heard: [event.view, event.number] };
  }
}

addEventListener("pagehide", () => worker?.terminate()); // a browser may keep a page that is left, with all its memory
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
offer().catch(fail);
