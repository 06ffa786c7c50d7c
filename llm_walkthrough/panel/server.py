"""A board in the browser, without a notebook: a server for this machine alone.

Its address has a word that nobody can guess, and a page of another site cannot ask in
its name. Knows nothing of what the board shows.
"""

from __future__ import annotations

import json
import secrets
import socketserver
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.frame import SCRIPT, STYLE

LOOPBACK = "127.0.0.1"
LARGEST = 2**24
"""Bytes of an event; a saved run of a whole context has fewer than a tenth of them."""

_FOLDER = Path(__file__).parent
_FILES = {
    "": ("text/html", (_FOLDER / "alone.html").read_text(encoding="utf-8")),
    "alone.js": ("text/javascript", (_FOLDER / "alone.js").read_text(encoding="utf-8")),
    "panel.js": ("text/javascript", SCRIPT),
    "panel.css": ("text/css", STYLE),
}
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # the address is a key
    "X-Content-Type-Options": "nosniff",
}


class BoardServer(socketserver.ThreadingTCPServer):
    """Serves one board; `serve_forever` until it is interrupted.

    Raises:
        InputError: the port is taken, or none at all.
    """

    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there two servers would share it

    def __init__(self, board: Board, port: int = 0) -> None:
        self.board, self.word = board, secrets.token_urlsafe(16)
        try:
            super().__init__((LOOPBACK, port), _Answer)
        except (OSError, OverflowError) as error:
            raise InputError(
                f"port {port} cannot be used ({error}); name another one, or none for "
                "one that is free"
            ) from error

    @property
    def address(self) -> str:
        """What a browser opens."""
        return f"http://{LOOPBACK}:{self.server_address[1]}/{self.word}/"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of a page that went away."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Answer(BaseHTTPRequestHandler):
    """What one request gets."""

    protocol_version = "HTTP/1.1"  # one connection for all events
    server: BoardServer

    def do_GET(self) -> None:
        """Give the page, one of its files, or what the board holds now."""
        place = self._place()
        if place == "state":
            self._give("application/json", json.dumps(self.server.board.state()))
        elif place in _FILES:
            self._give(*_FILES[place])
        elif place is not None:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Hand an event to the board, and give what it holds then."""
        place, length = self._place(), self.headers.get("Content-Length", "")
        if place is None:
            return
        if place != "event":
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not length.isdecimal():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
        elif len(length) > len(str(LARGEST)) or int(length) > LARGEST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            try:
                event = dict(json.loads(self.rfile.read(int(length))))
            except (TypeError, ValueError, RecursionError):
                self.send_error(HTTPStatus.BAD_REQUEST, "not an object in JSON")
                return
            board = self.server.board
            with board.lock:
                file = board.hear(event)
                answer = json.dumps({**board.state(), "file": file})
            self._give("application/json", answer)

    def _place(self) -> str | None:
        """Return what is asked for behind the word; strangers get an error."""
        host, _, port = self.headers.get("Host", "").rpartition(":")
        word = f"/{self.server.word}/"
        # a name of another site may lead here, but says so
        if host not in {LOOPBACK, "localhost"} or port != str(
            self.server.server_address[1]
        ):
            self.send_error(HTTPStatus.FORBIDDEN)
        elif not self.path.startswith(word):
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            return self.path.removeprefix(word)
        return None

    def _give(self, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(HTTPStatus.OK)
        headers = {"Content-Type": f"{kind}; charset=utf-8", **_HEADERS}
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_given: object) -> None:
        """Keep the terminal quiet."""
