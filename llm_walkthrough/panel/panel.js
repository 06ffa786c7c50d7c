// Shows the page that the kernel has drawn, and tells the kernel what the learner does.
// The page is patched, not replaced: nodes stay, and with them focus, hover, selection
// and a press that is still under way. Nothing here knows what a token is.

const PATIENCE = 1000; // milliseconds without an answer before it is said
const SLOW = 5; // times longer, where more than a step is to be done
const SILENT =
  "No answer for a second: the kernel is busy with another cell, or it was restarted. " +
  "The panel goes on by itself when that cell ends; after a restart, run the panel's cell again.";

function patch(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const name of old.getAttributeNames()) {
    // what the learner has opened stays open
    if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
  }
  let there = old.firstChild;
  for (let node = fresh.firstChild; node; ) {
    const next = node.nextSibling;
    let after = there?.nextSibling ?? null;
    if (after && node.nodeName === "LI" && !there.isEqualNode(node) && after.isEqualNode(node)) {
      there.remove(); // a list that has lost its first items keeps the others
      there = after;
      after = there.nextSibling;
    }
    if (!there) old.append(node);
    else if (!there.isEqualNode(node)) {
      if (there.nodeName !== node.nodeName) there.replaceWith(node);
      else if (node.nodeType === Node.ELEMENT_NODE) "later" in node.dataset || patch(there, node);
      else there.data = node.data;
    }
    there = after;
    node = next;
  }
  while (there) {
    const after = there.nextSibling;
    there.remove();
    there = after;
  }
}

// A page is light or dark by what lies behind it, whatever the program is called. A root
// outside of the page has nothing behind it, and its styles are empty: JupyterLab draws
// what it restores after a reload first and attaches it later, as its size then tells.
function followTheme(root) {
  const look = () => {
    if (!root.isConnected) return;
    for (let node = root.parentElement; node; node = node.parentElement) {
      const [r, g, b, a = 1] = getComputedStyle(node).backgroundColor.match(/[\d.]+/g).map(Number);
      if (a < 0.5) continue;
      root.classList.toggle("lw-dark", 0.3 * r + 0.6 * g + 0.1 * b < 128);
      return;
    }
  };
  const observer = new MutationObserver(() => setTimeout(look, 100));
  const attached = new ResizeObserver(look);
  attached.observe(root);
  for (const node of [document.documentElement, document.body]) {
    observer.observe(node, { attributes: true });
  }
  look();
  return () => [observer, attached].forEach((one) => one.disconnect());
}

function saveFile({ name, text, type }) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function render({ model, el }) {
  const root = document.createElement("div");
  const said = document.createElement("div");
  const tip = document.createElement("div");
  root.className = "lw-root";
  said.className = "lw-waiting";
  said.setAttribute("role", "status");
  tip.className = "lw-tip";
  tip.setAttribute("aria-hidden", "true");
  let panel = document.createElement("div");
  root.append(panel, said, tip);
  el.append(root);

  const view = Math.random().toString(36).slice(2); // there may be several of one panel
  const silent = model.get("silent") ?? SILENT; // where there is no kernel
  let sent = 0; // messages that the learner's doings have made
  let posted = 0; // those of them that were handed over
  let heard = 0; // those of them that the kernel has dealt with
  const waiting = []; // those that were not handed over yet
  let timer, tick;
  let isGone = false;
  let pressed = null; // the slider under the pointer
  const moved = new Map(); // slider to its newest value, not sent yet
  const typed = new Map(); // action to the text in its field
  let asked = 0; // the message that has sent the last of those

  function send(action, value) {
    if (isGone) return; // while a file was read
    sent += 1;
    waiting.push({ action, value, frame: model.get("frame"), view, number: sent });
    if (posted === heard || said.textContent) post(); // an answer may have been lost
  }

  // One at a time, so that the kernel knows when more is to come: after quick clicks only
  // the last page has what takes longer than a step.
  function post() {
    const event = waiting.shift();
    if (!event) return;
    posted = event.number;
    wait(event.action === "side" ? SLOW : 1); // a tab may open the model once more
    try {
      model.send({ ...event, more: waiting.length > 0 });
    } catch {
      said.textContent = silent; // after a restart there is nobody to send it to
    }
  }

  function wait(times) {
    clearTimeout(timer);
    timer = setTimeout(() => {
      said.textContent = silent;
      while (waiting.length) post();
    }, times * PATIENCE);
  }

  // Not every message is followed by a page: a tick that came too late is not.
  function hear() {
    const [whose, number] = model.get("heard");
    if (whose !== view || number === heard) return;
    heard = number;
    said.textContent = "";
    clearTimeout(timer);
    if (posted > heard) wait(1);
    else post();
    sendMoved();
  }

  function sendMoved() {
    if (sent > heard || !moved.size) return;
    const [slider, value] = moved.entries().next().value;
    moved.delete(slider);
    const { action, name } = slider.dataset;
    send(action, action === "knob" ? { name, value } : value);
  }

  function draw() {
    const template = document.createElement("template");
    template.innerHTML = model.get("page");
    const fresh = template.content.firstElementChild;
    const hadFocus = root.contains(document.activeElement);
    const before = followed();
    if (panel.isConnected && panel.className) patch(panel, fresh);
    else panel.replaceWith((panel = fresh));
    setValues();
    rove();
    if (hadFocus && !root.contains(document.activeElement)) panel.focus({ preventScroll: true });
    if (followed() !== before) follow();
    leaveField();
    showTip();
    clearTimeout(tick);
    if (panel.dataset.tick !== undefined) {
      // not beside a click, whose page will ask for the next step anyway
      const ask = () => sent > heard || send("tick");
      tick = setTimeout(() => requestAnimationFrame(ask), Number(panel.dataset.tick));
    }
  }

  // What a learner has set is no attribute; the value of the page holds, except under
  // the learner's own hand.
  function setValues() {
    for (const slider of panel.querySelectorAll("input[type=range]")) {
      const value = slider.getAttribute("value");
      if (slider !== pressed && !moved.has(slider)) slider.value = value;
    }
    for (const list of panel.querySelectorAll("select")) {
      list.value = list.querySelector("[selected]")?.value ?? list.value;
    }
    for (const field of panel.querySelectorAll("textarea")) {
      const text = typed.get(field.dataset.action) ?? "";
      if (field.value !== text) field.value = text;
    }
  }

  function submit(field) {
    field.select(); // what is typed next replaces it
    send(field.dataset.action, field.value);
    asked = sent;
  }
  // A text that was taken leaves the keys to the panel; a refused one can be mended.
  function leaveField() {
    const [whose, number] = model.get("heard");
    if (!asked || whose !== view || number < asked) return;
    asked = 0;
    const isInField = panel.contains(document.activeElement) && document.activeElement.matches("textarea");
    if (!isInField || panel.querySelector(".lw-problem")) return;
    panel.querySelector("[data-key=ArrowRight]")?.focus({ preventScroll: true });
  }

  // Keep what matters most in sight, or else the end, unless the learner reads elsewhere.
  function followed() {
    return [...panel.querySelectorAll("[data-follow]")].map((box) => box.textContent).join();
  }
  function follow() {
    for (const box of panel.querySelectorAll("[data-follow]")) {
      const next = box.querySelector('.lw-next, .lw-most, [aria-pressed="true"]');
      const below = next ? next.getBoundingClientRect().top - box.getBoundingClientRect().top : box.scrollHeight;
      const target = box.scrollTop + below - (next ? box.clientHeight / 2 : 0);
      if (!box.matches(":hover") && !box.contains(document.activeElement)) box.scrollTop = target;
    }
  }

  // One item of a list can be reached with Tab, the others with the arrow keys.
  function items(list) {
    return [...panel.querySelectorAll(`[data-item="${list}"]`)];
  }
  function rove() {
    for (const list of ["candidates", "chips", "looks", "tabs"]) {
      const all = items(list);
      const one = all.find((node) => node === document.activeElement || node.ariaSelected === "true");
      const usual = one ?? (list === "chips" || list === "looks" ? all.at(-1) : all[0]);
      for (const node of all) {
        const index = node === usual ? 0 : -1;
        if (node.tabIndex !== index) node.tabIndex = index;
      }
    }
  }
  function move(list, by) {
    const all = items(list);
    const place = all.indexOf(document.activeElement);
    const next = place < 0 ? 0 : Math.min(all.length - 1, Math.max(0, place + by));
    all[next]?.focus();
    rove();
  }

  // The tabs are a ring, and the one with the focus is open.
  function turn(by) {
    const all = items("tabs");
    const next = all.at((all.indexOf(document.activeElement) + by) % all.length);
    next.focus();
    press(next);
  }

  function closeMenu(keepsFocus) {
    const menu = panel.querySelector(".lw-more[open]");
    if (!menu) return false;
    if (keepsFocus) menu.querySelector("summary").focus();
    menu.open = false;
    return true;
  }

  function press(node) {
    if (!node || node.getAttribute("aria-disabled") === "true") return;
    const field = node.closest(".lw-ask")?.querySelector("textarea");
    if (field) return submit(field);
    const { action, value } = node.dataset;
    send(action, value === undefined ? null : JSON.parse(value));
  }

  function showTip() {
    const hovered = [...root.querySelectorAll("[data-tip]:hover")].at(-1);
    const focused = document.activeElement?.matches?.("[data-tip]:focus-visible") && root.contains(document.activeElement);
    const node = hovered ?? (focused ? document.activeElement : null);
    tip.textContent = node ? node.dataset.tip || node.getAttribute("aria-label") : "";
    if (!node) return;
    const side = node.closest(".lw-side"); // its tips leave the candidates in sight
    tip.style.maxWidth = side ? `${side.clientWidth - 8}px` : "";
    const [box, around] = [node, root].map((one) => one.getBoundingClientRect());
    let left = box.left - around.left;
    let top = box.top - around.top - tip.offsetHeight - 6;
    if (top <= 0) top = box.bottom - around.top + 6;
    // rows are compared, so a tip stands beside all of them, or else below the last one
    const rows = node.closest(".lw-table, .lw-guess, .lw-tree")?.getBoundingClientRect();
    if (rows && around.right - rows.right > tip.offsetWidth + 12) {
      left = rows.right - around.left + 8;
      top = box.top - around.top;
    } else if (rows) top = rows.bottom - around.top + 4;
    tip.style.left = `${Math.max(4, Math.min(left, around.width - tip.offsetWidth - 4))}px`;
    tip.style.top = `${top}px`;
  }

  root.addEventListener("click", (event) => {
    const node = event.target.closest("[data-action]");
    if (node && !node.matches("input, select, textarea")) press(node);
    if (node?.matches(".lw-more button")) closeMenu(true);
  });
  root.addEventListener("mousedown", (event) => {
    // a click on a chip leaves the focus where it is, so that the keys stay the same
    if (event.target.closest('[data-item="chips"]')) event.preventDefault();
  });
  root.addEventListener("pointerdown", (event) => {
    pressed = event.target.closest("input[type=range]");
    if (!event.target.closest(".lw-more")) closeMenu();
  });
  root.addEventListener("focusout", ({ target, relatedTarget: next }) => {
    if (next && target.closest(".lw-more") && !next.closest(".lw-more")) closeMenu();
  });
  const release = () => (pressed = null);
  window.addEventListener("pointerup", release);
  window.addEventListener("pointercancel", release);
  root.addEventListener("input", (event) => {
    if (event.target.matches("textarea")) typed.set(event.target.dataset.action, event.target.value);
    if (event.target.type !== "range") return;
    moved.set(event.target, Number(event.target.value));
    sendMoved();
  });
  root.addEventListener("change", async ({ target }) => {
    if (target.localName === "select") send(target.dataset.action, target.value);
    if (target.type !== "file" || !target.files.length) return;
    const text = await target.files[0].text();
    target.value = "";
    send(target.dataset.action, text);
  });
  for (const name of ["pointerover", "pointerout", "focusin", "focusout"]) {
    root.addEventListener(name, () => requestAnimationFrame(showTip));
  }

  root.addEventListener("keydown", (event) => {
    const { key, target } = event;
    const isTyped = target.matches("textarea"); // where Shift+Enter begins a line
    if (key === "Escape" && closeMenu(true)) event.stopPropagation();
    if ((event.ctrlKey || event.metaKey || event.altKey) && !(isTyped && key === "Enter")) return;
    if (key === "Tab" || key === "Escape" || (key === "Enter" && event.shiftKey && !isTyped)) return;
    event.stopPropagation(); // or the notebook takes it: "b" inserts a cell
    const isStale = event.repeat && sent > heard;
    if (isTyped) {
      // 229: the Enter that ends a composition, which Safari no longer calls one
      if (key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      if (!event.repeat) submit(target);
      return;
    }
    if (target.matches("input, select")) return;
    const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 1, ArrowUp: -1 }[key];
    const row = target.matches('[data-item="chips"], [data-item="looks"]') && target.dataset.item;
    if (by && row) move(row, by);
    else if (by && target.matches('[data-item="tabs"]')) isStale || turn(by);
    else if (key === "ArrowDown" || key === "ArrowUp") move("candidates", by);
    else if (by) isStale || press(panel.querySelector(`[data-key="${key}"]`));
    else if (!isStale) return; // Enter and space press what has the focus
    event.preventDefault();
  });

  const resized = new ResizeObserver(follow);
  resized.observe(root);
  model.on("change:frame", draw);
  model.on("change:heard", hear);
  const receive = (message) => message.view === view && saveFile(message.file);
  model.on("msg:custom", receive);
  const unfollow = followTheme(root);
  draw();
  follow();
  return () => {
    isGone = true;
    clearTimeout(tick);
    clearTimeout(timer);
    unfollow();
    resized.disconnect();
    model.off("change:frame", draw);
    model.off("change:heard", hear);
    model.off("msg:custom", receive);
    window.removeEventListener("pointerup", release);
    window.removeEventListener("pointercancel", release);
  };
}

export default { render };
