// Python and the course's own panel, in a worker; the model is in a worker of this one.
import { answerCalls, callsTo } from "./messages.js";
import { letGo } from "./weights.js";

const FOLDER = "smollm2-135m-instruct-float32"; // in package.zip
const here = (name) => new URL(name, import.meta.url).href;
const told = (share) => postMessage({ stage: "python", share });
let python, panel;

/** Open the model, and Python meanwhile; ask the model something, and return the first page. */
async function open({ parts, request, seed }) {
  const model = new Worker(here("model_worker.js"), { type: "module" });
  model.onmessage = ({ data }) => postMessage(data); // how far it is
  const askModel = callsTo(model, reportError); // to the page
  await Promise.all([askModel("open", parts), openPython()]);
  const read = (name) => JSON.parse(python.FS.readFile(`${FOLDER}/${name}.json`, { encoding: "utf8" }));
  const { Tokenizer } = await import(here("parts/tokenizers/tokenizers.min.mjs"));
  const tokenizer = new Tokenizer(read("tokenizer"), read("tokenizer_config"));
  const encode = (text) => python.toPy([...tokenizer.encode(text, { add_special_tokens: false }).ids]);
  const free = (run) => void askModel("free", run);
  const ask = async (wanted) => {
    const { id, logits, ms } = await askModel("run", JSON.parse(wanted));
    const answer = python.toPy([id, logits, ms]);
    letGo(logits); // they were copied
    return answer;
  };
  panel = python.pyimport("page_panel").PagePanel(FOLDER, ask, free, encode);
  told(1);
  return JSON.parse(await panel.begin(request, Number(seed)));
}

async function openPython() {
  const { loadPyodide } = await import(here("parts/pyodide/pyodide.mjs"));
  python = await loadPyodide({ indexURL: here("parts/pyodide/") });
  told(0.4);
  await python.loadPackage("numpy", { messageCallback: () => {} });
  told(0.6);
  const answer = await fetch(here("package.zip"));
  if (!answer.ok) throw new Error(`package.zip did not come: ${answer.status} ${answer.statusText}`);
  python.unpackArchive(await answer.arrayBuffer(), "zip");
}

answerCalls({ open, event: async (event) => JSON.parse(await panel.hear(JSON.stringify(event))) });
