"""A hub on loopback that speaks as much of the real one's protocol as a fetch needs.

Large files are redirected, as the real hub does, and a file may be asked for from any
byte on. What goes wrong is set by the test.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from time import sleep
from urllib.parse import unquote, urlsplit

COMMIT = "c0ffee" + "0" * 34
LARGE = (".gguf", ".data", ".onnx")  # kept in Git LFS


@dataclass
class TinyHub:
    """What it holds, what goes wrong, and what it was asked."""

    repositories: dict[str, dict[str, bytes]]
    address: str = ""
    commit: str = COMMIT
    wants: str = ""  # as Authorization
    error_code: str = ""  # as the real one names it, with every answer of `status`
    status: int = 0  # of every answer, if any
    lists: dict[str, bytes] = field(default_factory=dict)  # instead of what it sends
    drips: float = 0.0  # seconds between two bytes of a description, if any
    about: bytes = b""  # instead of the description of a repository
    claims: dict[str, object] = field(default_factory=dict)  # of each file, untrue
    cut: list[int] = field(default_factory=list)  # bytes after which answers break off
    asked: list[str] = field(default_factory=list)  # method, path and range

    @property
    def bytes_asked(self) -> list[str]:
        """The ranges that were asked for, "" for a whole file."""
        return [line.rpartition(" ")[2] for line in self.asked if " /cdn/" in line]


class _Handler(BaseHTTPRequestHandler):
    hub: TinyHub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(has_body=True)

    def do_HEAD(self) -> None:
        self._answer(has_body=False)

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, *, has_body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        first = self.headers.get("Range", "")
        self.hub.asked.append(f"{self.command} {path} {first}")
        if self.hub.status:
            return self._refuse(self.hub.status, self.hub.error_code)
        is_let_in = self.headers.get("Authorization", "") == self.hub.wants
        if self.hub.wants and not is_let_in:
            return self._refuse(401, "GatedRepo")
        words = path.strip("/").split("/")
        if words[:2] == ["api", "models"]:
            return self._describe("/".join(words[2:4]), words[5:])
        name, rest = "/".join(words[:2]), "/".join(words[4:])
        if words[0] == "cdn":
            name, rest = "/".join(words[1:3]), "/".join(words[3:])
        files = self.hub.repositories.get(name, {})
        if rest not in files:
            return self._refuse(404, "EntryNotFound")
        if words[0] != "cdn" and rest.endswith(LARGE):
            return self._send(302, {"Location": f"/cdn/{name}/{rest}"}, b"")
        return self._file(files[rest], first, has_body=has_body)

    def _describe(self, name: str, revision: list[str]) -> None:
        if name not in self.hub.repositories:
            return self._refuse(404, "RepoNotFound")
        if revision and revision[0] not in ("main", "v1", self.hub.commit):
            return self._refuse(404, "RevisionNotFound")
        files = self.hub.repositories[name] | self.hub.lists
        siblings = [_sibling(path, it) | self.hub.claims for path, it in files.items()]
        tags = ["onnx", "license:apache-2.0"]
        if self.hub.drips:
            self._send(200, {}, b"", 1_000)
            with suppress(OSError):  # nobody listens any more
                for _ in range(1_000):
                    self.wfile.write(b" ")
                    sleep(self.hub.drips)
            return None
        if self.hub.about:
            return self._send(200, {}, self.hub.about)
        about = {"id": name, "sha": self.hub.commit, "siblings": siblings, "tags": tags}
        return self._send(200, {}, json.dumps(about).encode())

    def _file(self, content: bytes, first: str, *, has_body: bool) -> None:
        total, start = len(content), int(first[6:].rstrip("-") or 0)
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": self.hub.commit,
            "Accept-Ranges": "bytes",
        }
        if start:
            headers["Content-Range"] = f"bytes {start}-{total - 1}/{total}"
        sent = content[start:]
        if self.hub.cut and has_body:
            self.close_connection = True
            sent = sent[: self.hub.cut.pop(0)]
        status = 206 if start else 200
        self._send(status, headers, sent if has_body else b"", total - start)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, {"X-Error-Code": code}, b"{}")

    def _send(
        self, status: int, headers: dict[str, str], body: bytes, size: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if size is None else size))
        self.end_headers()
        self.wfile.write(body)


def _sibling(path: str, content: bytes) -> dict[str, object]:
    size = len(content)
    git = hashlib.sha1(b"blob %d\0%b" % (size, content), usedforsecurity=False)
    about = {"rfilename": path, "size": size, "blobId": git.hexdigest()}
    sha = hashlib.sha256(content).hexdigest()
    lfs = {"sha256": sha, "size": size, "pointerSize": 130}
    return about | ({"lfs": lfs} if path.endswith(LARGE) else {})


@contextmanager
def tiny_hub(repositories: dict[str, dict[str, bytes]]) -> Iterator[TinyHub]:
    """Serve repositories until the block ends."""
    hub = TinyHub(repositories)
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield hub
        server.shutdown()
