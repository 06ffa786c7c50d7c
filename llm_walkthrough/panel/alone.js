// The panel that a server of this machine draws.

import { showPanel } from "./shell.js";

const SILENT =
  "No answer for a second. The model may still be reading a long text. If the program " +
  "was ended in its terminal, start it there again and open the new address.";

async function post(event) {
  const body = JSON.stringify(event);
  const answer = await fetch("event", { method: "POST", body });
  if (answer.ok) return answer.json();
  alert(`This was not taken: ${answer.statusText}.`);
  return { heard: [event.view, event.number] };
}

const state = await (await fetch("state.json", { cache: "no-store" })).json();
showPanel(document.querySelector("main"), { silent: SILENT, ...state }, post);
