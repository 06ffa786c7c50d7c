"""The panel's folder with files that only play the large ones, and a server that fails.

Whatever loads them is real: page, workers and messages. A page takes a second to load.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf.constants import GGMLQuantizationType

from tools.build_site.panel import npm_packages, write_list

ROOT = Path(__file__).resolve().parent.parent
WEIGHTS = "model/weights.gguf"
START = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>A page</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,"><link rel="stylesheet" href="panel/page.css">
<script>document.documentElement.dataset.theme =
  matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"</script>
<style>body {background: #fff; font: 16px sans-serif; margin: 8px}
  [data-theme=dark] body {background: #0c0f12; color: #e8ecf0}</style></head>
<body><main><h1>A page</h1><div id="panel"><p class="stored">a picture</p></div></main>
<script type="module" src="panel/page.js"></script></body></html>"""


class FakeSite:
    """A site on this machine.

    Attributes:
        url: of its start page.
        folder: what it serves.
        asked: the files of the panel that were asked for.
        cut, refused: names of files that break off half-way, or are answered with 500.
    """

    def __init__(self, folder: Path, port: int) -> None:
        self.folder, self.url = folder, f"http://127.0.0.1:{port}/"
        self.asked: list[str] = []
        self.cut: set[str] = set()
        self.refused: set[str] = set()

    def write(self, name: str, content: bytes) -> None:
        """Put another file in the place of one; the list does not know of it."""
        (self.folder / "panel" / name).write_bytes(content)


class _Files(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, site: FakeSite, *args: object) -> None:
        self.site = site
        super().__init__(*args, directory=str(site.folder))  # type: ignore[arg-type]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        name = path.removeprefix("/panel/")
        self.site.asked.append(name)
        if name in self.site.refused:
            self.send_error(500)
        elif name in self.site.cut:
            content = Path(self.translate_path(path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def fake_site(folder: Path) -> Iterator[FakeSite]:
    """Write and serve a site; skips the test where npm is missing."""
    if shutil.which("npm") is None:
        pytest.skip("there is no npm")
    panel = folder / "panel"
    shutil.copytree(ROOT / "web", panel, ignore=shutil.ignore_patterns("beside"))
    for name in ("panel.css", "panel.js", "shell.js"):
        shutil.copy(ROOT / "llm_walkthrough/panel" / name, panel)
    tests = Path(__file__).parent / "web"
    shutil.copy(tests / "fake_python_worker.js", panel / "python_worker.js")
    for name in ("comlink", "ort"):
        (panel / "parts" / name).mkdir(parents=True)
    shutil.copy(
        npm_packages() / "comlink/dist/esm/comlink.min.mjs", panel / "parts/comlink"
    )
    shutil.copy(tests / "fake_ort.mjs", panel / "parts/ort/ort.wasm.min.mjs")
    (panel / "parts/ort/ort-wasm-simd-threaded.wasm").write_bytes(bytes(1000))
    (panel / "model").mkdir()
    write_model(panel)
    (folder / "index.html").write_text(START, "utf-8")
    (panel / "walk.html").write_text("<title>The walk</title>", "utf-8")
    server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
    site = FakeSite(folder, server.server_port)
    server.RequestHandlerClass = partial(_Files, site)
    thread = threading.Thread(target=server.serve_forever, args=[0.05])
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_model(panel: Path, ranges: list[tuple[int, int]] | None = None) -> bytes:
    """Write two weights, the ranges that the engine takes, and the list of all files.

    Returns the data file that the weights make.
    """
    blocks = np.random.default_rng(5).integers(0, 60, 4 * 34, np.uint8)
    (panel / WEIGHTS).write_bytes(blocks.tobytes())
    part = {"kind": "Q8_0", "rows": 2, "columns": 32, "order": [0]}
    places = [(0, 256), (4096, 4352)]
    recipe = [
        {"name": f"weight {i}", "offset": begin, "length": end - begin}
        | {"parts": [{"start": i * 68, **part}]}
        for i, (begin, end) in enumerate(places)
    ]
    (panel / "model/recipe.json").write_text(json.dumps(recipe), "utf-8")
    graph = {"ranges": ranges or places}
    (panel / "model/model.onnx").write_text(json.dumps(graph), "utf-8")
    write_list(panel)
    made = gguf.dequantize(blocks.reshape(4, 34), GGMLQuantizationType.Q8_0)
    data = np.zeros(4352, np.uint8)
    for (begin, end), weight in zip(places, made.reshape(2, 64), strict=True):
        data[begin:end] = weight.astype("<f4").view(np.uint8)
    return data.tobytes()
