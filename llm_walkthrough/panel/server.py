"""A board in the browser, without a notebook: a server for this machine alone.

Its address has a word that nobody can guess, and no page of another site can ask in its
name. Knows nothing of what the board shows.
"""

from __future__ import annotations

import json
import secrets
import socketserver
import sys
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.board import Board

LOOPBACK = "127.0.0.1"
LARGEST = 2**24
"""Bytes of an event; a saved run of a whole context has fewer than a tenth of them."""

_KINDS = {
    "alone.html": "text/html",
    "alone.js": "text/javascript",
    "panel.css": "text/css",
    "panel.js": "text/javascript",
}


class BoardServer(socketserver.ThreadingTCPServer):
    """Serves one board; call `serve_forever`.

    Raises:
        InputError: the port is taken, or there is none of that number.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there two servers would share it

    def __init__(self, board: Board, port: int = 0) -> None:
        self.board, self.word = board, secrets.token_urlsafe(16)
        try:
            super().__init__((LOOPBACK, port), _Answer)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be used ({error}); name another one, or none"
            ) from error
        self.address = f"http://{LOOPBACK}:{self.server_address[1]}/{self.word}/"


class _Answer(BaseHTTPRequestHandler):
    """What one request gets."""

    protocol_version = "HTTP/1.1"  # one connection for all events
    server: BoardServer

    def handle(self) -> None:
        with suppress(ConnectionError):
            super().handle()  # until the page goes away

    def parse_request(self) -> bool:
        """Read what is asked for, and refuse strangers."""
        if not super().parse_request():
            return False
        port, word = self.server.server_address[1], f"/{self.server.word}/"
        # a name of another site can lead here, too
        ours = {f"{name}:{port}" for name in (LOOPBACK, "localhost")}
        is_ours = self.headers.get("Host") in ours
        if is_ours and self.path.startswith(word):
            self.path = self.path.removeprefix(word)
            return True
        self.send_error(HTTPStatus.NOT_FOUND if is_ours else HTTPStatus.FORBIDDEN)
        return False

    def do_GET(self) -> None:
        name = self.path or "alone.html"
        if name == "state":
            self._give("application/json", json.dumps(self.server.board.state()))
        elif name in _KINDS:
            text = (Path(__file__).parent / name).read_text(encoding="utf-8")
            self._give(_KINDS[name], text)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
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
            self._give("application/json", json.dumps(answer))

    def _give(self, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_given: object) -> None:
        pass  # the terminal stays quiet
