"""A board in the browser, without a notebook.

Knows nothing of what the board shows, nor of who may ask: `guards.loopback` does.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

from llm_walkthrough.guards.loopback import LoopbackServer, Reply
from llm_walkthrough.panel.board import Board

_FILES = ("alone.js", "panel.css", "panel.js", "shell.js")
LARGEST = 2**24  # bytes of an event; a saved run has fewer than a tenth of them


class _Reply(Reply):
    server: BoardServer

    def do_POST(self) -> None:  # noqa: N802 - as http.server calls it
        length, board = self.headers.get("Content-Length", ""), self.server.board
        if self.path != "event":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                event = dict(json.loads(self.rfile.read(int(length))))
            except (TypeError, ValueError, RecursionError):
                self.send_error(HTTPStatus.BAD_REQUEST)
                return
            with board.lock:
                answer = {"file": board.hear(event), **board.state()}
            self.give("answer.json", json.dumps(answer).encode())


class BoardServer(LoopbackServer):
    """Serves one board; as `LoopbackServer`."""

    replies = _Reply

    def __init__(self, board: Board, port: int = 0) -> None:
        self.board, here = board, Path(__file__).parent
        files = {name: (here / name).read_bytes for name in _FILES}
        files["index.html"] = (here / "alone.html").read_bytes
        state = {"state.json": lambda: json.dumps(board.state()).encode()}
        super().__init__(files | state, port)
