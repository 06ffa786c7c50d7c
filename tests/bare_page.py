"""A page without JupyterLab that holds a step panel, and a kernel to be slowed down.

The panel's own script runs in a real browser. Behind it is a real `StepPanel` on the
toy model, whose messages pass through a stand-in for the widget's model: one at a time,
in order, each after a delay, or not at all. The vocabulary has tokens that would break
a page if they were raw.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tiny_tokenizer
from fake_inside import fake_inside
from playwright.sync_api import Locator, Page
from toy_model import GrownToy

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.frame import SCRIPT, STYLE
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer
from llm_walkthrough.widgets import StepPanel

HOSTILE = (
    "<script>window.broken = true</script>",
    "</style><b>",
    '" onmouseover="window.broken = true" \'',
    "<img src=x onerror='window.broken = true'>",
    "\N{RIGHT-TO-LEFT OVERRIDE}right\N{ARABIC LETTER ALEF}",
    "W" * 300,
)
PROMPT = "the a the"
PRESS = 90  # milliseconds between down and up, as people press
EMPTY = "<!doctype html><html lang=en><title>a panel</title></html>"
TWO_FRAMES = """\
() => Promise.race([
  new Promise((done) => setTimeout(done, 1000)),
  new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))),
])
"""
BEGIN = """\
async ([script, style, state, dark, late]) => {
  document.body.style.background = dark ? "#111" : "#fff";
  document.body.style.margin = "8px";
  document.head.append(
    Object.assign(document.createElement("style"), { textContent: style }));
  const main = document.createElement("main");
  if (!late) document.body.append(main);
  const heard = new Map();
  let queue = Promise.resolve();
  const bare = {
    delay: 0, isDead: false, main, state, sent: [], answers: 0, keys: [],
    set(fresh) {
      const changed = Object.keys(fresh).filter(
        (key) => JSON.stringify(fresh[key]) !== JSON.stringify(state[key]));
      Object.assign(state, fresh);
      for (const key of changed) heard.get(`change:${key}`)?.forEach((f) => f());
    },
  };
  const model = {
    get: (name) => state[name],
    on: (name, f) => heard.set(name, [...(heard.get(name) ?? []), f]),
    off: (name, f) => heard.set(name, heard.get(name).filter((one) => one !== f)),
    send(event) {
      bare.sent.push(event);
      if (bare.isDead) return;
      queue = queue.then(async () => {
        await new Promise((done) => setTimeout(done, bare.delay));
        const { files, ...fresh } = await window.toKernel(event);
        bare.set(fresh);
        for (const file of files) heard.get("msg:custom")?.forEach((f) => f(file));
        bare.answers += 1;
      });
    },
  };
  document.addEventListener("keydown", ({ key }) => bare.keys.push(key));
  window.bare = bare;
  const module = await import("data:text/javascript," + encodeURIComponent(script));
  bare.remove = module.default.render({ model, el: main });
  // JupyterLab attaches an output that it restores long after it is drawn
  if (late) setTimeout(() => document.body.append(main), 200);
}
"""


class HostileToy(GrownToy):
    """A toy that likes the hostile tokens."""

    def __init__(self, vocab: int, liked: range) -> None:
        super().__init__(vocab)
        self._liked = liked
        folder = SimpleNamespace(parent=Path("toy"))
        self.graph = SimpleNamespace(path=folder, end_tokens=())

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        likes = np.zeros(self.vocab, np.float32)
        likes[list(self._liked)] = 1.5
        return rows + likes, longer


class Kernel(StepPanel):
    """A step panel that is told of events by the test, not by a front end."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - as StepPanel
        self._files: list[object] = []
        tokenizer, liked = _vocabulary()
        self.toy = HostileToy(tokenizer.vocab, liked)
        model: Any = self.toy
        super().__init__(model, tokenizer, tokenizer.encode(PROMPT), **settings)

    def send(self, content: object, _buffers: object = None) -> None:
        self._files.append(content)

    def hear(self, event: dict[str, object]) -> dict[str, object]:
        """Deal with an event, and return what the page is told then."""
        self._handle_custom_msg(event, [])
        files, self._files = self._files, []
        return {**self.state(), "files": files}

    def state(self) -> dict[str, object]:
        return {"page": self.page, "frame": self.frame, "heard": self.heard}


class Bare:
    """A page that holds a panel, and what a test does with it.

    Attributes:
        page: of the browser.
        kernel: behind the page.
        root: the element that the script has made.
        heard: what the page has written to its console, and its exceptions, also those
            in observers, timers and promises.
        panel: the panel in it.
    """

    kernel: Kernel

    def __init__(self, page: Page) -> None:
        self.page = page
        page.expose_function("toKernel", self._answer)
        self.heard: list[str] = []
        page.on("console", lambda message: self.heard.append(message.text))
        page.on("pageerror", lambda error: self.heard.append(str(error)))
        self.root = page.locator(".lw-root")
        self.panel = page.locator(".lw-panel")

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Fail if the page says anything meanwhile."""
        self.heard.clear()
        with fake_inside():
            yield
        self.page.evaluate(TWO_FRAMES)  # something may still be under way
        assert self.heard == []

    def open(
        self,
        *,
        is_dark: bool = False,
        is_late: bool = False,
        **settings: Any,  # noqa: ANN401 - as StepPanel
    ) -> None:
        """Begin anew, with a new panel in an empty page.

        Args:
            is_dark: the page around the panel is.
            is_late: the panel is drawn first, and put into the page later.
            settings: as those of `StepPanel`.
        """
        self.kernel = Kernel(**settings)
        self.page.goto("about:blank")  # or no slider can be dragged in the new document
        self.page.set_content(EMPTY)
        state = self.kernel.state()
        self.page.evaluate(BEGIN, [SCRIPT, STYLE, state, is_dark, is_late])
        self.settle()

    def action(self, name: str) -> Locator:
        return self.panel.locator(f"[data-action={name}]")

    def slider(self, name: str) -> Locator:
        return self.panel.locator(f"input[data-name={name}]")

    def press(self, action: str, times: int = 1) -> None:
        """Press a button as a person does, and wait for the answers."""
        for _ in range(times):
            self.action(action).first.click(delay=PRESS)
        self.settle()

    def more(self, action: str) -> None:
        """Press a button of the menu."""
        self.panel.locator(".lw-more summary").click(delay=PRESS)
        self.action(action).click(delay=PRESS)

    def press_run(self) -> None:
        """Press Run, and wait for the first answer only."""
        self.action("run").click(delay=PRESS)
        self.action("stop").wait_for()

    def slow(self, milliseconds: int) -> None:
        self.page.evaluate("(delay) => { bare.delay = delay }", milliseconds)

    def die(self) -> None:
        self.page.evaluate("() => { bare.isDead = true }")

    def sent(self) -> list[dict[str, Any]]:
        """What the page has told the kernel so far."""
        events: list[dict[str, Any]] = self.page.evaluate("() => bare.sent")
        return events

    def settle(self) -> None:
        """Wait until every message is answered and the answer is painted.

        A page that is out of sight paints nothing, so it is not waited for long.
        """
        self.page.wait_for_function("() => bare.answers === bare.sent.length")
        self.page.evaluate(TWO_FRAMES)

    def act(self, action: str, value: object = None) -> None:
        """Change the state behind the page, as a cell may, and redraw."""
        self.kernel.walk.act(action, value)
        self.redraw()

    def redraw(self) -> None:
        self.kernel.redraw()
        self.page.evaluate("(state) => bare.set(state)", self.kernel.state())

    def shown_step(self) -> int:
        """The number of steps as the head of the panel tells it."""
        return int(self.panel.locator(".lw-where b").nth(-2).inner_text())

    def steps(self) -> int:
        return len(self.kernel.stepper.steps)

    def _answer(self, event: dict[str, object]) -> dict[str, object]:
        return self.kernel.hear(event)


@functools.cache
def _vocabulary() -> tuple[Tokenizer, range]:
    """Open the tiny tokenizer with hostile tokens, and say where they are."""
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - this once

    tokenizer = tiny_tokenizer.byte_level()
    first = tokenizer.get_vocab_size()
    tokenizer.add_tokens([*HOSTILE])
    with TemporaryDirectory() as folder:
        chat = {"chat_template": tiny_tokenizer.CHATML}
        written = tiny_tokenizer.write_folder(Path(folder), tokenizer, **chat)
        opened = open_tokenizer(written)
    return opened, range(first, first + len(HOSTILE))
