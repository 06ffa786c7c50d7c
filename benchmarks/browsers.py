"""A Chromium and a Firefox that are driven alike, on a profile of their own.

Chromium by Playwright, Firefox by the protocol WebDriver BiDi that it speaks itself, so
that the one of the system will do. Knows nothing of what is looked at.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import psutil
import websocket
from playwright.sync_api import Error, ViewportSize, sync_playwright

from benchmarks.lab import FLAGS, find_chromium
from llm_walkthrough.errors import InputError

SIZE: ViewportSize = {"width": 1300, "height": 1000}  # of the page, as on a laptop
PRESS = 0.09  # seconds between down and up, as people press
PATIENCE = 180.0  # seconds; only a page that fails waits so long
FIREFOXES = ("firefox-esr", "firefox")
QUIET = {  # Firefox asks nobody for anything, and says nothing on a first start
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.enabled": False,
}


class Browser(Protocol):
    """One page in a browser.

    Attributes:
        said: what was written to its console, and its uncaught errors.
        asked: the addresses of all requests.
        process: the first of its processes.
    """

    said: list[str]
    asked: list[str]
    process: psutil.Process

    def go(self, address: str) -> None:
        """Open an address, and wait until it is loaded."""

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - whatever JSON can write
        """Return what an expression is, or the promise that it is comes to."""

    def press(self, x: float, y: float) -> None:
        """Press the mouse as people do."""


@contextmanager
def opened(name: str, script: str) -> Iterator[Browser]:
    """Open "chromium" or "firefox", whose pages run a script before their own.

    Raises:
        InputError: there is no such browser.
    """
    with ExitStack() as closing:
        if name == "firefox":
            yield _Firefox(script, closing)
        else:
            yield _Chromium(script, closing)


class _Chromium:
    def __init__(self, script: str, closing: ExitStack) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        chromium = closing.enter_context(sync_playwright()).chromium
        before = {*psutil.Process().children(recursive=True)}
        browser = chromium.launch(executable_path=find_chromium(), args=FLAGS)
        closing.callback(browser.close)
        new = {*psutil.Process().children(recursive=True)} - before
        self.process = next(one for one in new if one.parent() not in new)
        self._page = browser.new_page(viewport=SIZE)
        self._page.set_default_timeout(1000 * PATIENCE)
        self._page.add_init_script(script)
        self._page.on("console", lambda message: self.said.append(message.text))
        self._page.on("pageerror", lambda error: self.said.append(str(error)))
        self._page.on("request", lambda request: self.asked.append(request.url))

    def go(self, address: str) -> None:
        self._page.goto(address)

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - as said above
        try:
            return self._page.evaluate(expression)
        except Error as error:
            raise InputError(f"the page failed: {error.message}") from error

    def press(self, x: float, y: float) -> None:
        self._page.mouse.move(x, y)
        self._page.mouse.down()
        time.sleep(PRESS)
        self._page.mouse.up()


class _Firefox:
    def __init__(self, script: str, closing: ExitStack) -> None:
        self.said: list[str] = []
        self.asked: list[str] = []
        self._number = 0
        path = next(filter(None, map(shutil.which, FIREFOXES)), None)
        if path is None:
            raise InputError("no browser: neither firefox-esr nor firefox is there")
        home = Path(closing.enter_context(tempfile.TemporaryDirectory()))
        lines = (
            f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in QUIET.items()
        )
        (home / "user.js").write_text("\n".join(lines), "utf-8")
        log = (home / "log").open("wb")
        words = ["--headless", "--no-remote", "--remote-debugging-port", "0"]
        running = subprocess.Popen(  # noqa: S603 - a browser, found above
            [path, *words, "--profile", home], stdout=log, stderr=log
        )
        closing.callback(running.wait)
        closing.callback(running.terminate)
        self.process = psutil.Process(running.pid)
        self._socket = websocket.create_connection(
            _address(home / "log") + "/session", timeout=PATIENCE, suppress_origin=True
        )
        closing.callback(self._socket.close)
        self._send("session.new", capabilities={})
        self._context = self._send("browsingContext.getTree")["contexts"][0]["context"]
        events = ["log.entryAdded", "network.beforeRequestSent"]
        self._send("session.subscribe", events=events)
        self._send(
            "script.addPreloadScript", functionDeclaration=f"() => {{ {script} }}"
        )
        self._send(
            "browsingContext.setViewport", context=self._context, viewport={**SIZE}
        )

    def go(self, address: str) -> None:
        self._send(
            "browsingContext.navigate",
            context=self._context,
            url=address,
            wait="complete",
        )

    def ask(self, expression: str) -> Any:  # noqa: ANN401 - as said above
        answer = self._send(
            "script.evaluate",
            expression=f"Promise.resolve({expression}).then(JSON.stringify)",
            target={"context": self._context},
            awaitPromise=True,
        )
        if answer["type"] == "exception":
            raise InputError(f"the page failed: {answer['exceptionDetails']['text']}")
        return json.loads(answer["result"].get("value", "null"))

    def press(self, x: float, y: float) -> None:
        acts: list[dict[str, Any]] = [
            {"type": "pointerMove", "x": round(x), "y": round(y)},
            {"type": "pointerDown", "button": 0},
            {"type": "pause", "duration": round(1000 * PRESS)},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"type": "pointer", "id": "mouse", "actions": acts}
        self._send("input.performActions", context=self._context, actions=[mouse])

    def _send(self, method: str, **params: Any) -> Any:  # noqa: ANN401 - as BiDi has it
        self._number += 1
        request = {"id": self._number, "method": method, "params": params}
        self._socket.send(json.dumps(request))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                break
            self._hear(answer.get("method"), answer.get("params", {}))
        if answer["type"] == "error":
            raise InputError(f"Firefox refuses {method}: {answer['message']}")
        return answer["result"]

    def _hear(self, event: str | None, told: dict[str, Any]) -> None:
        if event == "log.entryAdded":
            self.said.append(told["text"])
        elif event == "network.beforeRequestSent":
            self.asked.append(told["request"]["url"])


def _address(log: Path) -> str:
    """Wait until Firefox has said where it listens."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := re.search(r"ws://\S+", log.read_text("utf-8", "replace")):
            return found[0]
        time.sleep(0.1)
    raise InputError(f"Firefox does not start; it said:\n{log.read_text('utf-8')}")


def memory_of(process: psutil.Process) -> int:
    """Return the bytes of a process and those it has started, by PSS."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended
    return total
