// What a measurement needs inside the page, before anything else is there: how long it stood
// still, the files that it offers, and the panel's controls by name.

(() => {
  const SECONDS = 150; // until something that was asked for must be there
  const watch = { frames: [], saved: null };
  window.page = watch;

  let last = performance.now();
  function beat(now) {
    watch.frames.push(now - last);
    last = now;
    requestAnimationFrame(beat);
  }
  requestAnimationFrame(beat);

  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => {
    if (blob.type === "application/json") watch.saved = blob.text();
    return make.call(URL, blob);
  };
  const click = HTMLAnchorElement.prototype.click;
  HTMLAnchorElement.prototype.click = function () {
    if (!this.download) click.call(this); // no file is written to this machine
  };

  const find = (selector) => document.querySelector(`.lw-panel ${selector}`);
  const until = (test) =>
    new Promise((done, failed) => {
      const end = performance.now() + 1000 * SECONDS;
      const look = () => {
        if (test()) return done(true);
        if (performance.now() < end) return setTimeout(look, 5);
        const said = document.querySelector(".lw-panel .lw-problem, [role=alert]:not(:empty)");
        failed(new Error(`${test} within ${SECONDS} s; the page says ${said?.textContent}`));
      };
      look();
    });
  const step = () => Number(find(".lw-where b").textContent);
  const isQuiet = () => !document.querySelector(".lw-waiting")?.textContent;

  async function press(selector, wanted) {
    find(selector).click();
    await until(() => step() === wanted);
  }
  const acts = {
    async step(count) {
      while (count--) await press("[data-action=step]", step() + 1);
    },
    async back(count) {
      while (count--) await press("[data-action=back]", step() - 1);
    },
    async take(rank) {
      const wanted = step() + 1;
      document.querySelectorAll(".lw-panel [data-action=take]")[rank].click();
      await until(() => step() === wanted);
    },
    async knob(name, value) {
      const slider = find(`input[data-name=${name}]`);
      if (Number(slider.getAttribute("value")) === value) return;
      slider.value = value;
      slider.dispatchEvent(new InputEvent("input", { bubbles: true }));
      await until(() => Number(find(`input[data-name=${name}]`).getAttribute("value")) === value);
    },
    async reset() {
      if (step()) await press("[data-action=reset]", 0);
    },
    async ask(text) {
      const field = find("textarea");
      field.value = text;
      field.dispatchEvent(new InputEvent("input", { bubbles: true }));
      field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
      await until(() => step() === 0 && isQuiet() && find(".lw-end").textContent.includes(text));
    },
  };

  Object.assign(watch, {
    /** Start what the page offers, unless it starts by itself; gives seconds until the panel is painted. */
    async start() {
      const button = () => document.querySelector("[data-do=start]");
      const isThere = () => find("[data-action=step]");
      await until(() => button()?.checkVisibility() || document.querySelector("[data-state=loading]") || isThere());
      watch.frames.length = 0;
      const began = performance.now();
      if (button()?.checkVisibility()) button().click();
      await until(isThere);
      await new Promise(requestAnimationFrame);
      return { seconds: (performance.now() - began) / 1000, still: Math.max(...watch.frames) };
    },
    async act(actions) {
      for (const [name, ...given] of actions) await acts[name](...given);
    },
    async save() {
      watch.saved = null;
      find("[data-action=save]").click();
      await until(() => watch.saved);
      return watch.saved;
    },
    async load(text, steps) {
      const began = performance.now();
      const files = new DataTransfer();
      files.items.add(new File([text], "run.json"));
      const field = find("[data-action=load]");
      field.files = files.files;
      field.dispatchEvent(new Event("change", { bubbles: true }));
      await until(() => step() === steps);
      return (performance.now() - began) / 1000;
    },
    box(selector) {
      const found = document.querySelector(selector);
      found.scrollIntoView({ block: "center" });
      const { x, y, width, height } = found.getBoundingClientRect();
      return [x + width / 2, y + height / 2];
    },
  });
})();
