"""Tests of netron's page: what it hands out, where it is shown, what it keeps quiet."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPResponse

import onnx
import pytest

from llm_walkthrough import netron_view
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.loopback import LOOPBACK, LoopbackServer
from llm_walkthrough.netron_view import open_netron, part_of, serve

LAB = {"JPY_SESSION_NAME": "notebooks/01_graph.ipynb"}
HUB = {**LAB, "JUPYTERHUB_SERVICE_PREFIX": "/user/ann/"}


GRAPH = b"the bytes of a graph"


def chain() -> onnx.ModelProto:
    """Two layers, x -> y -> z, each a product with its own weights."""
    float32 = onnx.TensorProto.FLOAT
    nodes = [
        onnx.helper.make_node("Mul", [source, f"w{i}"], [target], f"/layers.{i}/Mul")
        for i, (source, target) in enumerate([("x", "y"), ("y", "z")])
    ]
    x, z = (onnx.helper.make_tensor_value_info(n, float32, [1]) for n in "xz")
    weights = [onnx.helper.make_tensor(f"w{i}", float32, [1], [2.0]) for i in (0, 1)]
    graph = onnx.helper.make_graph(nodes, "chain", [x], [z], weights)
    return onnx.helper.make_model(graph)


def get(
    server: LoopbackServer, path: str, host: str | None = None
) -> tuple[HTTPResponse, bytes]:
    connection = HTTPConnection(LOOPBACK, server.port, timeout=10)
    headers = {"Host": host} if host else {}
    connection.request("GET", f"/{server.word}/{path}", headers=headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def test_the_page_opens_the_graph_and_neither_ages_nor_reports() -> None:
    response, page = get(serve(GRAPH), "")
    assert b'<meta name="file" content="model.onnx">' in page
    assert get(serve(GRAPH), "model.onnx?cb=1")[1] == GRAPH
    assert b'name="date"' not in page
    assert page.count(b'name="version"') == 1
    assert b'content="0.0.0"' in page
    assert b'src="quiet.js"' in page
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "http" not in policy


def test_what_the_page_loads_is_there() -> None:
    for name in ("index.js", "view.js", "onnx.js", "grapher.css", "quiet.js"):
        response, content = get(serve(GRAPH), name)
        assert response.status == HTTPStatus.OK, name
        assert content, name


def test_nothing_else_is_handed_out() -> None:
    for path in ("model.onnx.data", "../secret.json", "%2e%2e/s.json", "server.py"):
        assert get(serve(GRAPH), path)[0].status == HTTPStatus.NOT_FOUND, path


def test_who_comes_by_another_name_or_without_the_word_gets_no_graph() -> None:
    elsewhere = get(serve(GRAPH), "model.onnx", host="elsewhere.example")
    assert elsewhere[0].status == HTTPStatus.FORBIDDEN
    assert get(serve(GRAPH), "../model.onnx")[0].status == HTTPStatus.NOT_FOUND
    assert GRAPH not in elsewhere[1]
    proxied = serve(GRAPH, is_proxied=True)  # a hub's proxy sends its own name
    assert get(proxied, "model.onnx", host="hub.example")[1] == GRAPH


def test_two_graphs_have_two_servers_and_one_graph_has_one() -> None:
    assert serve(GRAPH) == serve(GRAPH)
    assert get(serve(GRAPH), "model.onnx")[1] == GRAPH
    assert get(serve(b"another"), "model.onnx")[1] == b"another"


def test_on_ones_own_machine_the_frame_shows_the_server_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netron_view, "environ", LAB)
    view = open_netron(chain())
    assert view.address == served(chain()).address
    assert f'<iframe title="netron" src="{view.address}"' in view._repr_html_()


def test_behind_a_hub_the_frame_goes_through_the_proxy_or_another_way_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(netron_view, "environ", HUB)
    server = served(chain(), is_proxied=True)
    monkeypatch.setattr(netron_view, "find_spec", lambda name: name)
    address = open_netron(chain()).address
    assert address == f"/user/ann/proxy/{server.port}/{server.word}/"
    monkeypatch.setattr(netron_view, "find_spec", lambda _name: None)
    view = open_netron(chain())
    assert view.address is None
    assert "jupyter-server-proxy" in repr(view)
    assert "netron.app" in view._repr_html_()
    assert "<iframe" not in view._repr_html_()


def test_without_a_page_that_could_show_it_nothing_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_graph: bytes) -> LoopbackServer:
        raise AssertionError("started a server")

    monkeypatch.setattr(netron_view, "environ", {})
    monkeypatch.setattr(netron_view, "serve", refuse)
    assert open_netron(chain()).address is None


def test_a_missing_netron_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(netron_view, "find_spec", lambda _name: None)
    with pytest.raises(InputError, match=r"netron is not installed.*run\.py"):
        serve(b"not served before")


def test_a_part_has_the_nodes_ports_and_weights_that_belong_to_it() -> None:
    graph = part_of(chain(), "/layers.1/").graph
    assert [node.name for node in graph.node] == ["/layers.1/Mul"]
    assert [weight.name for weight in graph.initializer] == ["w1"]
    assert [port.name for port in graph.input] == []
    assert [port.name for port in graph.output] == ["z"]
    with pytest.raises(InputError, match=r"'/layers\.7/'"):
        part_of(chain(), "/layers.7/")


def served(model: onnx.ModelProto, *, is_proxied: bool = False) -> LoopbackServer:
    """Return the server that is there already."""
    return serve(model.SerializeToString(deterministic=True), is_proxied=is_proxied)
