"""The course as a site: built where a source is newer, then served from this machine.

`python -m tools.build_site` serves on loopback, with `--for-class` on every network
that this machine is in. Knows nothing of what stands on the pages.
"""

from __future__ import annotations

import argparse
import shutil
import socket
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from llm_walkthrough.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SITE, DONE = ROOT / "site", ".done"
SOURCES = ("docs", "llm_walkthrough", "notebooks", "tools/build_site", "web")
FOR_CLASS = """\
Everybody in this network can read these pages, and nothing else of this machine; no
internet is needed, and nothing that a pupil types leaves the pupil's own browser.
Write on the board:  {address}
The model is 134 MB for each pupil: Chrome and Edge keep it for the next visit, Firefox
loads it again. Ctrl-C ends it."""


class Files(SimpleHTTPRequestHandler):
    """Files of the site; a browser keeps them, and asks each time whether they hold."""

    protocol_version = "HTTP/1.1"
    extensions_map = {
        **SimpleHTTPRequestHandler.extensions_map,
        ".js": "text/javascript",  # whatever the registry of a Windows says
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
    }

    def end_headers(self) -> None:
        """Add what a server of the network may not leave to the browser's guess."""
        self.send_header("Cache-Control", "no-cache")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def list_directory(self, _path: object) -> None:
        """Show no folder."""
        self.send_error(404)

    def log_message(self, *_words: object) -> None:
        """Say nothing."""


def build(site: Path = SITE) -> None:
    """Build the site if it is not there, or older than one of its sources."""
    from tools.build_site import pages, panel, parts, walk  # noqa: PLC0415 - slow

    if (site / DONE).is_file():
        built = (site / DONE).stat().st_mtime
        sources = (file for name in SOURCES for file in (ROOT / name).rglob("*.*"))
        if all(f.stat().st_mtime < built or f.suffix == ".pyc" for f in sources):
            return
    shutil.rmtree(site, ignore_errors=True)
    parts.put_parts(site)
    panel.write_panel(site / "panel")
    walk.write_walk(site)
    pages.write_pages(site)
    (site / DONE).touch()


def own_address() -> str:
    """Return the address of this machine in its network; nothing is sent for that."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anyone:
        anyone.connect(("192.0.2.1", 9))
        return str(anyone.getsockname()[0])


def main() -> int:
    """Build if needed, then serve until Ctrl-C; returns the exit status."""
    parser = argparse.ArgumentParser(prog="llm-walkthrough site", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--for-class", action="store_true", help="serve it to a class")
    parser.add_argument("--build", action="store_true", help="only build it, in site/")
    options = parser.parse_args()
    try:
        build()
        if options.build:
            return 0
        host = "" if options.for_class else "127.0.0.1"
        files = partial(Files, directory=SITE)
        with ThreadingHTTPServer((host, options.port), files) as server:
            address = f"http://{own_address() if options.for_class else 'localhost'}"
            print(f"{address}:{server.server_port}/", flush=True)
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    except (InputError, OSError) as error:
        sys.stderr.write(f"{error}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
