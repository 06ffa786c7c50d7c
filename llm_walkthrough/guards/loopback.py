"""A server for the browser of this machine alone, at an address that nobody can guess.

The path begins with a secret word, no page of another site can ask in the name of ours,
and ours reaches no other site. Knows nothing of what is served.
"""

from __future__ import annotations

import secrets
import socketserver
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from mimetypes import MimeTypes

from llm_walkthrough.errors import InputError

LOOPBACK = "127.0.0.1"
Files = Mapping[str, Callable[[], bytes]]  # by name, "index.html" is the first
_TYPES = MimeTypes()  # without what this machine's own tables say
_ONLY_FROM_HERE = "default-src 'self' data: blob: 'unsafe-inline'"


class Reply(BaseHTTPRequestHandler):
    """What one request gets; its path is what follows the secret word."""

    protocol_version = "HTTP/1.1"  # one connection for many requests
    server: LoopbackServer

    def handle(self) -> None:
        """Answer until the page goes away."""
        with suppress(ConnectionError):
            super().handle()

    def parse_request(self) -> bool:
        """Read what is asked for, and refuse strangers."""
        if not super().parse_request():
            return False
        word = f"/{self.server.word}/"
        # a name of another site can lead here, too
        ours = {f"{name}:{self.server.port}" for name in (LOOPBACK, "localhost")}
        is_ours = self.server.is_proxied or self.headers.get("Host") in ours
        if is_ours and self.path.startswith(word):
            self.path = self.path.removeprefix(word)
            return True
        self.send_error(HTTPStatus.NOT_FOUND if is_ours else HTTPStatus.FORBIDDEN)
        return False

    def do_GET(self) -> None:
        """Hand out a file of the server."""
        name = self.path.partition("?")[0] or "index.html"
        if name in self.server.files:
            self.give(name, self.server.files[name]())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def give(self, name: str, content: bytes) -> None:
        """Answer with the content of a file of that name."""
        kind, _ = _TYPES.guess_type(name)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind or "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", _ONLY_FROM_HERE)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_given: object) -> None:
        """Say nothing: a request is no news."""


# HTTPServer would look up the machine's name, for seconds where there is no network; in
# a single thread, a connection that a browser opens ahead would keep all others waiting
class LoopbackServer(socketserver.ThreadingTCPServer):
    """Answers requests; call `serve_forever`. A port that is taken is an InputError.

    What is asked for through a proxy comes under a name of the proxy's own.
    """

    replies: type[Reply] = Reply
    daemon_threads = True
    allow_reuse_address = sys.platform != "win32"  # there two servers would share it

    def __init__(
        self, files: Files, port: int = 0, *, is_proxied: bool = False
    ) -> None:
        self.files, self.is_proxied = files, is_proxied
        self.word = secrets.token_urlsafe(16)
        try:
            super().__init__((LOOPBACK, port), self.replies)
        except (OSError, OverflowError) as error:
            what = f"port {port} cannot be used ({error})"
            raise InputError(f"{what}; name another one, or none") from error
        self.port = int(self.server_address[1])
        self.address = f"http://{LOOPBACK}:{self.port}/{self.word}/"
