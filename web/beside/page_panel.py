"""The step panel in a page: an event comes in, the next page goes out.

What passes between Python and the page is JSON, but for the logits. Knows nothing of
how the model runs: `page_model` does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
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


def no_inside(*_: object, **__: object) -> NoReturn:
    """Stand in for `inside.Inside`, which takes the graph apart."""
    raise InputError("To look inside takes a notebook: open this tab in notebook 06.")


class PagePanel:
    """A panel, which the page begins before it hands over each event."""

    def __init__(self, folder: str, ask: Ask, free: Free, encode: Encode) -> None:
        self._folder, self._turn = Path(folder), asyncio.Lock()
        self._config = read_json(self._folder / "genai_config.json")["model"]
        self._tokenizer = open_tokenizer(self._folder, encode)
        self._model: Any = PageModel(self._config, ask, free)
        # a step takes the time of its run in the worker, and not that of asking for it
        vars(stepper)["time"] = vars(looking)["time"] = self._model
        sys.modules["llm_walkthrough.inside"] = cast(
            "Any", SimpleNamespace(Inside=no_inside)
        )
        sys.executable = ""  # there are no processes, so templates run in this one

    async def begin(self, request: str, seed: int) -> str:
        """Ask the model something; returns the first page."""
        text = self._tokenizer.chat([{"role": "user", "content": request}])
        given = self._tokenizer, self._tokenizer.encode(text)
        desk = Desk(sampling=Sampling(), seed=seed, tour=0)
        named = {"title": self._folder.name, "end_tokens": self._config["eos_token_id"]}

        def board() -> Board:
            walk = Walk(self._model, *given, desk, **named)
            return Board(walk, page, twin, walk.tokenizer)

        self._board = await self._model.settled(board)
        return json.dumps(self._board.state())

    async def hear(self, text: str) -> str:
        """Deal with an event as `Board.hear`; returns the next page, and maybe a file.

        It waits for those before it: the page does not, where a run takes long.
        """
        async with self._turn:
            return await self._answered(json.loads(text))

    async def _answered(self, event: dict[str, Any]) -> str:
        """Do action and page apart, since either may have to be done again."""
        board, file = self._board, None
        action, value = event["action"], event.get("value")
        board.heard = (event["view"], event["number"])
        if action != "tick" or event["frame"] == board.frame:  # else it came too late
            self._model.foreseen = ()
            if action == "load":
                with suppress(InputError):  # which is said when it is opened
                    run = read(str(value))
                    tokens = (step.token for step in run.steps)
                    self._model.foreseen = (*run.prompt, *tokens)
            await self._model.settled(lambda: board.engine.act(action, value))
            await self._model.settled(board.redraw)
            file = board.engine.now.file
        if file and "text" not in file:
            file = {**file, "text": export(board.page, file["title"])}
        return json.dumps({**board.state(), "file": file})
