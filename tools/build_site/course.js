// Theme, contents and search of every page. Without it, a page can be read in the light theme.
const page = document.documentElement;
const { root } = document.currentScript.dataset;
page.dataset.theme = localStorage.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");

const made = (name, facts) => Object.assign(document.createElement(name), facts);
const load = (src) => new Promise((onload) => document.head.append(made("script", { src: root + src, onload })));

let index; // of all headings with their texts, once somebody searches
async function search(words, list) {
  index ??= Promise.all([load("search/index.js"), load("found.js")]).then(() => {
    const all = new MiniSearch({ fields: ["heading", "page", "text"], storeFields: ["heading", "page", "text"] });
    all.addAll(found);
    return all;
  });
  const hits = (await index).search(words, { prefix: true, fuzzy: 0.15, boost: { heading: 4, page: 2 }, combineWith: "AND" });
  list.replaceChildren(...hits.slice(0, 12).map(({ id, heading, page, text }) => {
    const link = made("a", { href: root + id, textContent: heading || page });
    link.append(made("small", { textContent: `${page}: ${text.slice(0, 120)}` }));
    return made("li", {}).appendChild(link).parentNode;
  }));
  if (words && !hits.length) list.append(made("li", { textContent: "Nothing found" }));
}

addEventListener("DOMContentLoaded", () => {
  const [form, button, nav] = ["[role=search]", ".theme", ".nav"].map((one) => document.querySelector(one));
  const list = form.lastElementChild;
  form.hidden = button.hidden = false;
  button.onclick = () => (page.dataset.theme = localStorage.theme = page.dataset.theme === "dark" ? "light" : "dark");
  form.oninput = () => search(form[0].value, list);
  form.onkeydown = ({ key }) => void (key === "Escape" && list.replaceChildren());
  form.onsubmit = (event) => event.preventDefault(list.querySelector("a")?.click());
  if (nav) nav.open = innerWidth > 960;
  const boxes = new ResizeObserver((seen) => {
    for (const { target: box } of seen) box.tabIndex = box.scrollWidth > box.clientWidth ? 0 : -1; // for the keyboard
  });
  for (const box of document.querySelectorAll("pre, .output, .wide")) boxes.observe(box);
});
