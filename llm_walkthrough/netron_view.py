"""Netron's drawing of a graph inside a notebook.

A small server on this machine's own address hands out netron's page and one graph;
weights in a data file are not sent. The page is changed in three points: it opens the
graph, it does not demand an update once this netron is half a year old, and it reports
nothing to anybody. Knows nothing of what the nodes compute.
"""

from __future__ import annotations

import html
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler
from importlib.util import find_spec
from mimetypes import MimeTypes
from pathlib import Path
from socketserver import ThreadingTCPServer
from threading import Thread
from urllib.parse import urlsplit

import onnx

from llm_walkthrough.errors import InputError
from llm_walkthrough.views import BORDER

LOOPBACK = "127.0.0.1"
_TYPES = MimeTypes()  # without what this machine's own tables say
_SHOWN = {".css", ".html", ".ico", ".js", ".json", ".png"}
_GRAPH = "model.onnx"
_QUIET = "quiet.js"  # a file: the page itself forbids scripts in line
_CONSENT_NOT_NEEDED = """\
Object.defineProperty(document, "cookie", {get: () => "consent=1", set: () => {}});
"""
_DATE_AND_VERSION = re.compile(r'<meta name="(date|version)"[^>]*>')
_ONLY_FROM_HERE = "default-src 'self' data: blob: 'unsafe-inline'"
_ELSEWHERE = (
    "save model.onnx from the model folder and drop it on https://netron.app, which "
    "reads it inside your browser."
)


@dataclass(frozen=True, repr=False)
class NetronView:
    """Netron's page in a frame, or one sentence where there can be none."""

    address: str | None  # what the browser opens, None if no page can reach this kernel
    sentence: str  # what a reader is told

    def __repr__(self) -> str:
        return self.sentence

    def _repr_html_(self) -> str:
        sentence = html.escape(self.sentence)
        if self.address is None:
            return f"<p>{sentence}</p>"
        address = html.escape(self.address)
        link = f'<a href="{address}" target="_blank">Open it in a page of its own.</a>'
        style = f"width:100%;height:600px;border:{BORDER}"
        frame = f'<iframe title="netron" src="{address}" style="{style}"></iframe>'
        return f"<p>{sentence} {link}</p>{frame}"


def part_of(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return the nodes whose names begin alike, with the ports and weights they use.

    Raises:
        InputError: no node has such a name.
    """
    graph = model.graph
    nodes = [node for node in graph.node if node.name.startswith(prefix)]
    if not nodes:
        raise InputError(f"no node begins with {prefix!r}; /model/layers.0/ may do")
    read = {name for node in nodes for name in node.input}
    made = {name for node in nodes for name in node.output}
    inputs = [port for port in graph.input if port.name in read]
    outputs = [port for port in graph.output if port.name in made]
    weights = [weight for weight in graph.initializer if weight.name in read]
    cut = onnx.helper.make_graph(nodes, prefix, inputs, outputs, weights)
    return onnx.helper.make_model(cut, opset_imports=model.opset_import)


def open_netron(
    model: onnx.ModelProto, environment: Mapping[str, str] = os.environ
) -> NetronView:
    """Show a graph, without external data, in the JupyterLab page of this kernel.

    The variables tell whether a Jupyter server has started the kernel, and whether that
    one stands behind a hub.

    Raises:
        InputError: netron is not installed.
    """
    if "JPY_SESSION_NAME" not in environment:  # set by the server for its kernels
        reason = "In JupyterLab netron opens here; elsewhere,"
        return NetronView(None, f"{reason} {_ELSEWHERE}")
    hub = environment.get("JUPYTERHUB_SERVICE_PREFIX")
    if hub is not None and find_spec("jupyter_server_proxy") is None:
        reason = "This hub has no jupyter-server-proxy, which netron needs;"
        return NetronView(None, f"{reason} {_ELSEWHERE}")
    port = serve(model.SerializeToString(deterministic=True))
    address = f"http://{LOOPBACK}:{port}/" if hub is None else f"{hub}proxy/{port}/"
    return NetronView(address, f"Should the frame stay empty, {_ELSEWHERE}")


@cache  # running the cell again shows the server that is already there
def serve(graph: bytes) -> int:
    """Hand out netron's page with a graph, the content of an `.onnx` file.

    Does so as long as this process lives, and returns the port on the loopback address.

    Raises:
        InputError: netron is not installed.
    """
    spec = find_spec("netron")
    if spec is None or spec.origin is None:
        raise InputError("netron is not installed; run `python3 run.py`")
    handler = _handler(graph, Path(spec.origin).parent)
    # HTTPServer would look up the machine's name, for seconds where there is no network
    server = ThreadingTCPServer((LOOPBACK, 0), handler)
    server.daemon_threads = True
    Thread(target=server.serve_forever, name="netron", daemon=True).start()
    return int(server.server_address[1])


def _handler(graph: bytes, netron: Path) -> type[BaseHTTPRequestHandler]:
    """Make the class that answers requests, from what it has to offer."""
    text = (netron / "index.html").read_text(encoding="utf-8")
    ours = (  # without a date the page takes itself for new, "0.0.0" keeps it quiet
        f'<meta name="version" content="0.0.0"><meta name="file" content="{_GRAPH}">'
        f'<script src="{_QUIET}"></script></head>'
    )
    page = _DATE_AND_VERSION.sub("", text).replace("</head>", ours, 1).encode()
    quiet = _CONSENT_NOT_NEEDED.encode()
    # by name alone, so that no path leads out of the folder; read when asked for
    shown = [file for file in netron.iterdir() if file.suffix in _SHOWN]
    files = {file.name: file.read_bytes for file in shown}
    files |= {"index.html": lambda: page, _QUIET: lambda: quiet, _GRAPH: lambda: graph}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = urlsplit(self.path).path.removeprefix("/") or "index.html"
            if name not in files:
                self.send_error(404)
                return
            content = files[name]()
            self.send_response(200)
            kind = _TYPES.guess_type(name)[0] or "application/octet-stream"
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", _ONLY_FROM_HERE)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing: a request is no news."""

    return Handler
