// Python and the course's own panel, in a worker; the model is in a worker of this one.
import { counted } from "./download.js";
import { expose, proxy, wrap } from "./parts/comlink/comlink.min.mjs";
import { letGo } from "./weights.js";

const FOLDER = "smollm2-135m-instruct-float32"; // in package.zip
const here = (name) => new URL(name, import.meta.url).href;
let python, panel, answer;

/** Open the model, and Python meanwhile; ask the model something, and return the first page. */
async function open({ parts, sizes, request, seed }, told) {
  const worker = new Worker(here("model_worker.js"), { type: "module" });
  worker.onerror = () => reportError(new Error("the part that runs the model could not be loaded")); // to the page
  const model = wrap(worker);
  await Promise.all([model.open(parts, proxy((...progress) => told(...progress))), openPython(sizes.python, told)]);
  const read = (name) => JSON.parse(python.FS.readFile(`${FOLDER}/${name}.json`, { encoding: "utf8" }));
  const { Tokenizer } = await import(here("parts/tokenizers/tokenizers.min.mjs"));
  const tokenizer = new Tokenizer(read("tokenizer"), read("tokenizer_config"));
  const encode = (text) => python.toPy([...tokenizer.encode(text, { add_special_tokens: false }).ids]);
  const free = (run) => void model.free(run);
  const ask = async (wanted) => {
    const { id, logits, ms } = await model.run(JSON.parse(wanted));
    answer?.destroy(); // Python has long read it, and would keep it until the collector comes by
    answer = python.toPy([id, logits, ms]);
    letGo(logits); // they were copied
    return answer;
  };
  panel = python.pyimport("page_panel").PagePanel(FOLDER, ask, free, encode);
  return JSON.parse(await panel.begin(request, Number(seed)));
}

async function openPython(bytes, told) {
  const [plain, { loadPyodide }] = [self.fetch, await import(here("parts/pyodide/pyodide.mjs"))];
  let come = 0;
  const hear = (count) => told("python", (come += count) / bytes);
  self.fetch = async (...request) => counted(await plain(...request), hear); // whoever asks for a file
  python = await loadPyodide({ indexURL: here("parts/pyodide/") });
  await python.loadPackage("numpy", { messageCallback: () => {} });
  python.unpackArchive(await (await fetch(here("package.zip"))).arrayBuffer(), "zip");
}

expose({ open, event: async (event) => JSON.parse(await panel.hear(JSON.stringify(event))) });
