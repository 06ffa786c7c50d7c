// The theme, the contents and the search of every page. Without it a page can be read, in the light theme.
const page = document.documentElement;
const { root } = document.currentScript.dataset;
const wanted = () => localStorage.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
page.dataset.theme = wanted();

function load(file) {
  return new Promise((done) => {
    document.head.append(Object.assign(document.createElement("script"), { src: root + file, onload: done }));
  });
}

let index; // of all headings with their texts, once somebody searches
async function search(words, list) {
  index ??= Promise.all([load("search/index.js"), load("found.js")]).then(() => {
    const made = new MiniSearch({ fields: ["heading", "page", "text"], storeFields: ["heading", "page", "text"] });
    made.addAll(found);
    return made;
  });
  const boost = { heading: 4, page: 2 };
  const hits = (await index).search(words, { prefix: true, fuzzy: 0.15, boost, combineWith: "AND" });
  list.replaceChildren(...hits.slice(0, 12).map(({ id, heading, page, text }) => {
    const link = Object.assign(document.createElement("a"), { href: root + id, textContent: heading || page });
    link.append(Object.assign(document.createElement("small"), { textContent: `${page}: ${text.slice(0, 120)}` }));
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  if (words && !hits.length) list.append(Object.assign(document.createElement("li"), { textContent: "Nothing found" }));
}

addEventListener("DOMContentLoaded", () => {
  const [form, button, nav] = ["[role=search]", ".theme", ".nav"].map((one) => document.querySelector(one));
  const name = () => (button.textContent = page.dataset.theme === "dark" ? "Light" : "Dark");
  button.onclick = () => name((page.dataset.theme = localStorage.theme = page.dataset.theme === "dark" ? "light" : "dark"));
  name();
  form.hidden = button.hidden = false;
  form.oninput = () => search(form[0].value, form.lastElementChild);
  form.onsubmit = (event) => event.preventDefault(form.querySelector("a")?.click());
  form.onkeydown = ({ key }) => key === "Escape" && form.lastElementChild.replaceChildren();
  if (nav) nav.open = innerWidth > 960;
  const boxes = new ResizeObserver((seen) => {
    for (const { target } of seen) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0; // the keyboard scrolls it
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll("pre, .output, .wide")) boxes.observe(box);
});
