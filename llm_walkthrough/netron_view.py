"""Netron's drawing of a graph inside a notebook.

A small server for this machine alone hands out netron's page and one graph; weights in
a data file are not sent. The page is changed: it opens the graph, demands no update of
an old netron, and reports nothing to anybody. Knows nothing of what the nodes compute.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from os import environ
from pathlib import Path
from threading import Thread

import onnx

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.loopback import LoopbackServer
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.views import BORDER

_SHOWN = {".css", ".html", ".ico", ".js", ".json", ".png"}
_GRAPH = "model.onnx"
_QUIET = "quiet.js"  # a file: the page itself forbids scripts in line
_DATE_AND_VERSION = re.compile(r'<meta name="(date|version)"[^>]*>')
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
        return filled("netron_view.html", view=self, border=BORDER)


def part_of(model: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return the nodes whose names begin alike, with the ports and weights they use."""
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


def open_netron(model: onnx.ModelProto) -> NetronView:
    """Show a graph, without external data, in the JupyterLab page of this kernel."""
    if "JPY_SESSION_NAME" not in environ:  # set by the server for its kernels
        reason = "In JupyterLab netron opens here; elsewhere,"
        return NetronView(None, f"{reason} {_ELSEWHERE}")
    hub = environ.get("JUPYTERHUB_SERVICE_PREFIX")
    if hub is not None and find_spec("jupyter_server_proxy") is None:
        reason = "This hub has no jupyter-server-proxy, which netron needs;"
        return NetronView(None, f"{reason} {_ELSEWHERE}")
    graph = model.SerializeToString(deterministic=True)
    server = serve(graph, is_proxied=hub is not None)
    proxied = f"{hub}proxy/{server.port}/{server.word}/"
    address = server.address if hub is None else proxied
    return NetronView(address, f"Should the frame stay empty, {_ELSEWHERE}")


@cache  # running the cell again shows the server that is already there
def serve(graph: bytes, *, is_proxied: bool = False) -> LoopbackServer:
    """Hand out netron's page with the content of an `.onnx` file, for good."""
    spec = find_spec("netron")
    if spec is None or spec.origin is None:
        raise InputError("netron is not installed; run `python3 run.py`")
    # by name alone, so that no path leads out of the folder; read when asked for
    shown = (f for f in Path(spec.origin).parent.iterdir() if f.suffix in _SHOWN)
    files = {file.name: file.read_bytes for file in shown}
    files |= {"index.html": _page(files["index.html"]().decode()).encode}
    own = {_QUIET: Path(__file__).with_suffix(".js").read_bytes, _GRAPH: lambda: graph}
    server = LoopbackServer({**files, **own}, is_proxied=is_proxied)
    Thread(target=server.serve_forever, name="netron", daemon=True).start()
    return server


def _page(text: str) -> str:
    """Return netron's page as it is shown here."""
    ours = (  # without a date the page takes itself for new, "0.0.0" keeps it quiet
        f'<meta name="file" content="{_GRAPH}"><script src="{_QUIET}"></script>'
        '<meta name="version" content="0.0.0"></head>'
    )
    return _DATE_AND_VERSION.sub("", text).replace("</head>", ours, 1)
