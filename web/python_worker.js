// Python and the course's own panel, in a worker; the model is in another one, at the end of a port.
import { answerCalls, callsTo } from "./messages.js";

const here = (name) => new URL(name, import.meta.url).href;
const FOLDER = "/models/smollm2-135m-instruct-float32"; // in Python's own file system
let python, panel;

async function load(name, form) {
  const answer = await fetch(here(name));
  if (!answer.ok) throw new Error(`${name} did not come: ${answer.status} ${answer.statusText}`);
  return answer[form]();
}

const told = (share) => postMessage({ stage: "python", share });

async function open({ port }) {
  const askModel = callsTo(port);
  const [{ loadPyodide }, { Tokenizer }] = await Promise.all([
    import(here("parts/pyodide/pyodide.mjs")),
    import(here("parts/tokenizers/tokenizers.min.mjs")),
  ]);
  python = await loadPyodide({ indexURL: here("parts/pyodide/") });
  told(0.4);
  await python.loadPackage("numpy", { messageCallback: () => {} });
  told(0.6);
  python.unpackArchive(await load("package.zip", "arrayBuffer"), "zip");
  python.FS.mkdirTree(FOLDER);
  const names = ["tokenizer.json", "tokenizer_config.json", "genai_config.json"];
  const texts = await Promise.all(names.map((name) => load(`model/${name}`, "text")));
  const [whole, config] = texts.map((text) => JSON.parse(text));
  const tokenizer = new Tokenizer(whole, config);
  const { added_tokens, model: { vocab } } = whole;
  texts[0] = JSON.stringify({ added_tokens, model: { vocab } }); // JavaScript alone needs the merges
  names.forEach((name, i) => python.FS.writeFile(`${FOLDER}/${name}`, texts[i]));

  const ask = async (request) => {
    const { id, logits, ms } = await askModel("run", JSON.parse(request));
    return python.toPy([id, logits, ms]);
  };
  const free = (run) => void askModel("free", run);
  const encode = (text) => python.toPy([...tokenizer.encode(text, { add_special_tokens: false }).ids]);
  panel = python.pyimport("page_panel").PagePanel(FOLDER, ask, free, encode);
  told(1);
}

answerCalls(self, {
  open,
  begin: async ({ request, seed }) => JSON.parse(await panel.begin(request, Number(seed))),
  event: async (event) => JSON.parse(await panel.hear(event)),
});
