// Watches the step panel while it is used: how long from a press to the frame that shows
// all of the next step, and whether each frame on the way shows one step only. Evaluates
// to what starts and reads the watch.

(() => {
  const root = document.querySelector(".lw-panel");
  const frames = { all: 0, empty: 0, torn: 0, jumped: 0 };
  let wanted, pressed, finish, painted, isSampled;

  function read() {
    const takes = [...root.querySelectorAll("[data-action=take]")];
    return {
      step: Number(root.querySelector(".lw-where b")?.textContent),
      positions: takes.map((take) => JSON.parse(take.dataset.value).position),
      height: root.getBoundingClientRect().height,
    };
  }
  const first = read(); // a step later, candidates stand for the next position
  const isWhole = ({ step, positions }) =>
    positions.every((one) => one - step === first.positions[0] - first.step);

  // Only a frame after a change can be torn; a loop over all frames would cost more
  // than what is measured.
  function change() {
    const now = read();
    if (finish && now.step === wanted && isWhole(now)) {
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
    if (!now.positions.length) frames.empty += 1;
    else if (!isWhole(now)) frames.torn += 1;
    if (Math.abs(now.height - first.height) > 0.5) frames.jumped += 1;
  }
  new MutationObserver(change).observe(root.closest(".jp-OutputArea-output") ?? root.parentElement, {
    attributes: true, characterData: true, childList: true, subtree: true,
  });

  return {
    frames,
    expectNext() {
      wanted = read().step + 1;
      painted = new Promise((done) => (finish = done));
      const note = ({ timeStamp }) => (pressed = timeStamp);
      root.addEventListener("click", note, { capture: true, once: true });
    },
    painted: () =>
      Promise.race([painted, new Promise((done) => setTimeout(done, 10_000, null))]),
  };
})()
