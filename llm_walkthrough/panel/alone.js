// The panel in a page of its own: what a widget's model does, done over HTTP.

import panel from "./panel.js";

const SILENT =
  "No answer for a second. The model may still be reading a long text. If the program " +
  "was ended in its terminal, start it there again and open the new address.";

const state = { silent: SILENT, ...(await (await fetch("state.json", { cache: "no-store" })).json()) };
const listeners = new Map(); // event to functions
let queue = Promise.resolve(); // an event is sent when the one before was answered

function tell(event, ...given) {
  listeners.get(event)?.forEach((listener) => listener(...given));
}

async function post(event) {
  const body = JSON.stringify(event);
  const answer = await fetch("event", { method: "POST", body });
  if (!answer.ok) {
    state.heard = [event.view, event.number];
    tell("change:heard");
    alert(`This was not taken: ${answer.statusText}.`);
    return;
  }
  const { file, ...fresh } = await answer.json();
  const changed = Object.keys(fresh).filter((name) => `${fresh[name]}` !== `${state[name]}`);
  Object.assign(state, fresh);
  for (const name of changed) tell(`change:${name}`);
  if (file) tell("msg:custom", { file, view: event.view });
}

const model = {
  get: (name) => state[name],
  on(event, listener) {
    listeners.set(event, (listeners.get(event) ?? new Set()).add(listener));
  },
  off: (event, listener) => listeners.get(event)?.delete(listener),
  send(event) {
    queue = queue.then(() => post(event)).catch(() => {}); // the panel says it by itself
  },
};

// the panel looks at the colours behind it when an attribute of the page changes
const dark = matchMedia("(prefers-color-scheme: dark)");
const note = () => (document.documentElement.dataset.theme = dark.matches ? "dark" : "light");
dark.addEventListener("change", note);
note();

panel.render({ model, el: document.querySelector("main") });
