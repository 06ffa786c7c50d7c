// The panel in a page of its own: what a widget's model does, over any way to answer an event.

import panel from "./panel.js";

/**
 * Show a panel in `el`.
 * @param {{page: string, frame: number, heard: [string, number], silent: string}} state `silent` is said
 *   when no answer comes
 * @param {(event: object) => Promise<object>} answer gives what of the state has changed, and maybe a file
 */
export function showPanel(el, state, answer) {
  const listeners = new Map(); // event to functions
  let queue = Promise.resolve(); // an event is sent when the one before was answered
  const tell = (event, ...given) => listeners.get(event)?.forEach((listener) => listener(...given));

  async function send(event) {
    const { file, ...fresh } = await answer(event);
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
      queue = queue.then(() => send(event)).catch(() => {}); // the panel says it by itself
    },
  };

  // the panel looks at the colours behind it when an attribute of the page changes
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const note = () => (document.documentElement.dataset.scheme = dark.matches ? "dark" : "light");
  dark.addEventListener("change", note);
  note();

  panel.render({ model, el });
}
