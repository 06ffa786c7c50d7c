"""The site on this machine: built if it is missing or old, then served.

On loopback; with `--for-class` on every network that this machine is in. Knows nothing
of what stands on the pages.
"""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from llm_walkthrough.errors import InputError

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "site"
SOURCES = (
    "docs",
    "llm_walkthrough",
    "notebooks",
    "tools",
    "web",
    "models/catalogue.toml",
)
"""What the site is made of, beside the files that have a page of their own."""
FOR_CLASS = """\
Everybody in this network can now read these pages, and nothing else on this machine.
No internet is needed, and what a pupil types stays in the pupil's own browser.

Write on the board:   {address}

The connection is not encrypted, so browsers keep less: each pupil downloads 134 MB.
Chrome and Edge have the model at hand at the next visit; Firefox loads it again."""


class Files(SimpleHTTPRequestHandler):
    """Files of the site; a browser may keep them, and asks whether they still hold."""

    protocol_version = "HTTP/1.1"  # a connection serves many files
    extensions_map = SimpleHTTPRequestHandler.extensions_map | {
        ".js": "text/javascript",  # whatever the registry of a Windows says
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Let a browser ask for changes each time: a 304 costs no download."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def handle(self) -> None:
        """Answer until the browser goes away, which may be amid a file."""
        with suppress(ConnectionError):
            super().handle()

    def list_directory(self, _path: object) -> None:
        """Show no folder."""
        self.send_error(404)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    """A server that a whole class may ask in the same second."""

    request_queue_size = 64


def is_fresh(site: Path, root: Path = ROOT) -> bool:
    """Is the site there, and newer than all that it is made of?"""
    start = site / "index.html"
    if not start.is_file():
        return False
    changed = [source.stat().st_mtime for source in sources(site, root)]
    return max(changed) < start.stat().st_mtime


def sources(site: Path, root: Path = ROOT) -> set[Path]:
    """Return the files that a site was made of; its pages tell which have become one.

    The page of `README.md` is `README.html`, and that of `LICENSE` is `LICENSE.html`.
    """
    found = {root / name for name in SOURCES}
    found |= {file for one in found for file in one.rglob("*")}
    for page in site.rglob("*.*"):
        same = root / page.relative_to(site)  # as a picture is
        name = same.with_suffix("")
        found |= {same, name, name.with_suffix(".md"), name.with_suffix(".ipynb")}
    return {one for one in found if one.is_file() and one.suffix != ".pyc"}


def own_address() -> str:
    """Return the address of this machine in its network; nothing is sent.

    Raises:
        InputError: it is in none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anyone:
        try:
            anyone.connect(("192.0.2.1", 9))
        except OSError as error:
            raise InputError(
                "this machine is in no network; join the one of the class, then start "
                "again"
            ) from error
        return str(anyone.getsockname()[0])


def main(arguments: Sequence[str] | None = None) -> int:
    """Build if needed, then serve until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="llm-walkthrough site", description=main.__doc__
    )
    parser.add_argument("--port", type=int, default=8000, help="default: 8000")
    text = "let everybody in this network read it, not this machine alone"
    parser.add_argument("--for-class", action="store_true", help=text)
    options = parser.parse_args(arguments)
    host = "" if options.for_class else "127.0.0.1"
    try:
        if not is_fresh(SITE):
            _say("Building the site; this takes about a minute.")
            from tools.build_site.__main__ import build  # noqa: PLC0415 - slow to load

            build(SITE)
        with _bound(host, options.port) as server:
            address = f"http://{host or own_address()}:{server.server_port}/"
            _say(FOR_CLASS.format(address=address) if options.for_class else address)
            _say("Ctrl-C ends it.")
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    except (InputError, OSError) as error:
        sys.stderr.write(f"llm-walkthrough site: {error}\n")
    return 1


def _bound(host: str, port: int) -> Server:
    try:
        return Server((host, port), partial(Files, directory=SITE))
    except (OSError, OverflowError) as error:
        raise InputError(
            f"port {port} cannot be used ({error}); name another"
        ) from error


def _say(words: str) -> None:
    sys.stdout.write(f"{words}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
