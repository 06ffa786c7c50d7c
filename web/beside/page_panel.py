"""The step panel of notebook 06 in a page: an event comes in, the next page goes out.

What passes between Python and the page is JSON, but for the logits. Knows nothing of
how the model runs: `page_model` does.
"""

from __future__ import annotations

import ast
import json
import sys
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn, cast

from page_model import Ask, Free, PageModel
from page_tokenizer import Encode, open_tokenizer

from llm_walkthrough import stepper
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import read_json
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.frame import export
from llm_walkthrough.panel.step import looking
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.saved_run import read
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.sampling import Sampling


def request() -> str:
    """Return what the notebooks ask; the module that says it needs onnxruntime."""
    spec = find_spec("llm_walkthrough.classroom")
    for node in ast.parse(Path(str(spec and spec.origin)).read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REQUEST":
            return str(ast.literal_eval(node.value))
    raise LookupError("REQUEST")


def no_inside(*_: object, **__: object) -> NoReturn:
    """Stand in for `inside.Inside`, which takes the graph apart."""
    raise InputError(
        "Looking inside takes the model apart, which needs a notebook: install the "
        "course, and open this tab in notebook 06."
    )


class PagePanel:
    """A panel, which the page begins before it hands over each event."""

    def __init__(self, folder: str, ask: Ask, free: Free, encode: Encode) -> None:
        self._folder = Path(folder)
        self._config = read_json(self._folder / "genai_config.json")["model"]
        self._tokenizer = open_tokenizer(self._folder, encode)
        self._model: Any = PageModel(self._config, ask, free)
        # a step takes the time of its run in the worker, and not that of asking for it
        vars(stepper)["time"] = vars(looking)["time"] = self._model
        inside = SimpleNamespace(Inside=no_inside)
        sys.modules["llm_walkthrough.inside"] = cast("Any", inside)
        sys.executable = ""  # there are no processes, so templates run in this one

    async def begin(self, seed: int) -> str:
        """Read the prompt; returns the first page.

        Raises:
            InputError: the model cannot run.
        """
        tokenizer, title = self._tokenizer, self._folder.name
        text = tokenizer.chat([{"role": "user", "content": request()}])
        prompt, ends = tokenizer.encode(text), self._config["eos_token_id"]
        desk = Desk(sampling=Sampling(), seed=seed)

        def board() -> Board:
            walk = Walk(
                self._model, tokenizer, prompt, desk, title=title, end_tokens=ends
            )
            return Board(walk, page, twin, walk.tokenizer)

        self._board = await self._model.settled(board)
        return json.dumps({"values": self._board.state()})

    async def hear(self, text: str) -> str:
        """Deal with an event as `Board.hear`; returns the next page, and maybe a file.

        Action and page are done apart, since either may have to be done again.
        """
        event, board, sent = json.loads(text), self._board, []
        action, value, before = event["action"], event.get("value"), board.engine.now
        board.heard = (event["view"], event["number"])
        if action != "tick" or event["frame"] == board.frame:  # else it came too late
            self._model.foreseen = _tokens(value) if action == "load" else ()
            await self._model.settled(lambda: board.engine.act(action, value))
            await self._model.settled(board.redraw)
            now = board.engine.now
            if now is not before and now.file:
                whole = now.file.get("text") or export(board.page, now.file["title"])
                file = {**now.file, "text": whole}
                sent.append({"file": file, "view": event["view"]})
        return json.dumps({"values": board.state(), "sent": sent})


def _tokens(text: object) -> tuple[int, ...]:
    """Return all tokens of a saved run; of anything else none, as will be said."""
    with suppress(InputError):
        run = read(str(text))
        return (*run.prompt, *(step.token for step in run.steps))
    return ()
