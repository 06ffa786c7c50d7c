"""The panel in a page of its own: who may ask for it, and that it works there."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import pytest
from playwright.sync_api import Browser, expect
from real_lab import PATIENCE
from walking import PROMPT, made, tokenizer, walk

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.loopback import LOOPBACK
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.server import LARGEST, BoardServer
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.saved_run import read
from llm_walkthrough.panel.step.walk import Walk

Look = Literal["light", "dark"]
PRESS = 90  # milliseconds between down and up, as people press
STEP = b'{"action": "step"}'


@contextmanager
def serving() -> Iterator[BoardServer]:
    with BoardServer(Board(walk(), page, twin, tokenizer())) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.05])
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def server() -> Iterator[BoardServer]:
    with serving() as server:
        yield server


def answer(
    server: BoardServer,
    place: str = "event",
    *,
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, str]:
    """Ask as a program does that need not be a browser; a GET if there is no body."""
    port = server.server_address[1]
    line = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    method = "GET" if body is None and "Content_Length" not in headers else "POST"
    path = place if place.startswith("/") else f"/{server.word}/{place}"
    line.putrequest(method, path, skip_host="Host" in headers)
    if body is not None:
        headers.setdefault("Content_Length", str(len(body)))
    for name, value in headers.items():
        line.putheader(name.replace("_", "-"), value)
    line.endheaders(body)
    got = line.getresponse()
    text = got.read().decode()
    line.close()
    return got.status, text


def held(server: BoardServer) -> list[int]:
    """The tokens that were made behind the page."""
    engine = server.board.engine
    assert isinstance(engine, Walk)
    return made(engine)


def test_an_event_is_answered_with_the_page_its_frame_and_who_was_heard(
    server: BoardServer,
) -> None:
    event = {"action": "step", "frame": 0, "view": "v", "number": 1}
    status, text = answer(server, body=json.dumps(event).encode())
    told = json.loads(text)
    assert (status, len(held(server))) == (200, 1)
    assert (told["frame"], told["heard"], told["file"]) == (1, ["v", 1], None)
    assert told["page"] == server.board.page
    assert json.loads(answer(server, "state.json")[1])["page"] == server.board.page


def test_two_servers_have_addresses_that_cannot_be_told_from_one_another(
    server: BoardServer,
) -> None:
    with serving() as other:
        words = {server.word, other.word}
    assert len(words) == 2
    assert min(map(len, words)) > 20
    assert server.server_address[0] == LOOPBACK


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "localhost:1", ""]
)
@pytest.mark.parametrize("body", [None, STEP])
def test_a_request_by_another_name_is_refused(
    server: BoardServer, host: str, body: bytes | None
) -> None:
    name = host.format(port=server.server_address[1])
    status, text = answer(server, "event" if body else "", body=body, Host=name)
    assert (status, len(held(server))) == (403, 0)
    assert server.word not in text


@pytest.mark.parametrize("place", ["/", "/x/", "/%C3%A9/event", "/{word}"])
@pytest.mark.parametrize("body", [None, STEP])
def test_a_request_without_the_word_finds_nothing(
    server: BoardServer, place: str, body: bytes | None
) -> None:
    status, text = answer(server, place.format(word=server.word), body=body)
    assert (status, len(held(server))) == (404, 0)
    assert server.word not in text


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[1, 2]", {}, 400),
        (b"7", {}, 400),
        (b"\xff", {}, 400),
        (b"[" * 100_000, {}, 400),
        (None, {"Content_Length": "many"}, 411),
        (None, {"Content_Length": "-1"}, 411),
        (None, {"Content_Length": str(LARGEST + 1)}, 413),
        (None, {"Content_Length": "9" * 5000}, 413),
    ],
)
def test_what_is_no_event_is_refused_and_the_next_one_taken(
    server: BoardServer,
    capfd: pytest.CaptureFixture[str],
    body: bytes | None,
    headers: dict[str, str],
    status: int,
) -> None:
    assert answer(server, body=body, **headers)[0] == status
    assert answer(server, body=STEP)[0] == 200
    assert len(held(server)) == 1
    assert capfd.readouterr() == ("", "")


def test_other_places_and_ways_are_refused_without_a_word_in_the_terminal(
    server: BoardServer, capfd: pytest.CaptureFixture[str]
) -> None:
    assert answer(server, "../server.py")[0] == 404
    assert answer(server, "state.json", body=STEP)[0] == 404
    line = http.client.HTTPConnection(LOOPBACK, server.server_address[1], timeout=60)
    line.request("DELETE", f"/{server.word}/state.json")
    assert line.getresponse().status == 501
    line.close()
    gone = http.client.HTTPConnection(LOOPBACK, server.server_address[1], timeout=60)
    gone.request("GET", f"/{server.word}/panel.js")
    gone.close()  # before the answer
    assert answer(server, "")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken_is_refused_in_one_sentence(server: BoardServer) -> None:
    for port in (server.server_address[1], 99_999):
        with pytest.raises(InputError, match=f"port {port} cannot be used"):
            BoardServer(server.board, port)


@pytest.mark.browser
@pytest.mark.parametrize("look", get_args(Look))
def test_in_a_browser_one_steps_asks_runs_and_saves(
    chromium: Browser, server: BoardServer, look: Look
) -> None:
    opened = chromium.new_page(color_scheme=look)
    opened.set_default_timeout(PATIENCE)
    said: list[str] = []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.goto(server.address)
    tokens = opened.locator(".lw-made")
    opened.locator("[data-action=step]").click(delay=PRESS)
    expect(tokens).to_have_count(1)
    is_dark = look == "dark"
    expect(opened.locator(".lw-root")).to_have_class("lw-root" + " lw-dark" * is_dark)
    opened.locator("textarea").fill("the")
    opened.locator("textarea").press("Enter")
    expect(tokens).to_have_count(0)
    expect(opened.locator("[data-action=step]")).to_be_focused()
    for count in (1, 2):
        opened.keyboard.press("ArrowRight", delay=PRESS)
        expect(tokens).to_have_count(count)
    with opened.expect_download() as download:
        opened.locator(".lw-more summary").click(delay=PRESS)
        opened.locator("[data-action=save]").click(delay=PRESS)
    saved = read(download.value.path().read_text("utf-8"))
    assert [step.token for step in saved.steps] == held(server)
    assert saved.prompt != tuple(PROMPT)
    opened.reload()
    expect(tokens).to_have_count(2)
    opened.emulate_media(color_scheme="light" if is_dark else "dark")
    other = "lw-root" + " lw-dark" * (not is_dark)
    expect(opened.locator(".lw-root")).to_have_class(other)
    opened.close()
    assert said == []
