// Watches a panel while it is used: how long from a press to the frame that shows all of
// the next step, and whether each frame on the way shows one step only. How a panel is
// read is told by its `look`: the step in its head, the chips of made tokens, and the
// positions for which its candidates are. Evaluates to what starts and reads the watch.

(() => {
  const looks = {
    panel() {
      const root = document.querySelector(".lw-panel");
      const takes = [...root.querySelectorAll("[data-action=take]")];
      return {
        root,
        step: Number(root.querySelector(".lw-where b").textContent),
        // the earliest ones may be left out: the last one knows its number
        chips: 1 + Number([...root.querySelectorAll(".lw-made")].at(-1)?.dataset.value ?? -1),
        positions: takes.map((take) => JSON.parse(take.dataset.value).position),
      };
    },
    buttons() {
      const root = document.querySelector(".bench-buttons");
      const takes = [...root.querySelectorAll("button[title*=': id ']")];
      return {
        root,
        step: Number(root.querySelector("b").textContent),
        chips: root.querySelectorAll("code").length,
        positions: takes.map((take) => parseInt(take.title)),
      };
    },
  };
  const everything = {
    attributes: true,
    characterData: true,
    childList: true,
    subtree: true,
  };
  let side, prompt, height, step, pressed, finish, painted, isSampled, frames;

  function read() {
    try {
      return looks[side]();
    } catch {
      return null; // a part is not there
    }
  }
  const isWhole = ({ step, chips, positions }) =>
    step === chips && positions.every((one) => one === prompt + step);

  // Only a frame after a change can be torn; a loop over all frames would cost more
  // than what is measured.
  function change() {
    const now = read();
    if (finish && now?.step === step && isWhole(now)) {
      const done = finish;
      finish = null;
      requestAnimationFrame(() =>
        requestAnimationFrame(() => done(performance.now() - pressed)));
    }
    if (!isSampled) requestAnimationFrame(sample);
    isSampled = true;
  }
  function sample() {
    isSampled = false;
    const now = read();
    frames.all += 1;
    if (!now?.positions.length) frames.empty += 1;
    else if (!isWhole(now)) frames.torn += 1;
    const tall = now?.root.getBoundingClientRect().height;
    if (now && Math.abs(tall - height) > 0.5) frames.jumped += 1;
    height = tall ?? height;
  }
  const observer = new MutationObserver(change);

  return {
    start(which) {
      side = which;
      frames = { all: 0, empty: 0, torn: 0, jumped: 0 };
      const now = read();
      prompt = now.positions[0] - now.step;
      height = now.root.getBoundingClientRect().height;
      observer.observe(now.root.closest(".jp-OutputArea-output"), everything);
    },
    expectNext() {
      const now = read();
      step = now.step + 1;
      painted = new Promise((done) => (finish = done));
      const note = ({ timeStamp }) => (pressed = timeStamp);
      now.root.addEventListener("click", note, { capture: true, once: true });
    },
    painted: () =>
      Promise.race([painted, new Promise((done) => setTimeout(done, 10_000, null))]),
    hasFocus: () => read().root.contains(document.activeElement)
      && document.activeElement.textContent.includes("Step"),
    stop() {
      observer.disconnect();
      return frames;
    },
  };
})()
