"""A kernel on a learner's server, in the place of the one that nbval would start here.

With `-p benchmarks.hub_kernel` it is a plug-in of pytest, and two variables say which
server it is, and with which token. Knows nothing of how cells are compared: nbval does.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict, deque
from functools import partial
from queue import Empty
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx2
import nbval.plugin
import websocket

SERVER, TOKEN = "LLM_WALKTHROUGH_SERVER", "LLM_WALKTHROUGH_TOKEN"
FOLDER = "my_course"
Message = dict[str, Any]


class HubKernel:
    """Does what nbval asks of its `RunningKernel`, over the API of a server."""

    language = "python"

    def __init__(self, address: str, token: str) -> None:
        headers = {"Authorization": f"token {token}"}
        self._server = httpx2.Client(base_url=address, headers=headers, timeout=300)
        kernel = {"path": f"{FOLDER}/test.ipynb", "type": "notebook", "name": ""}
        wanted = kernel | {"kernel": {"name": "python3"}}
        answer = self._server.post("api/sessions", json=wanted)
        self._kernel = f"api/kernels/{answer.raise_for_status().json()['kernel']['id']}"
        channels = urlsplit(f"{address}{self._kernel}/channels")._replace(scheme="ws")
        self._socket = websocket.create_connection(channels.geturl(), header=headers)
        self._read: dict[str, deque[Message]] = defaultdict(deque)
        self.await_reply(self._send("kernel_info_request", {}))

    def printed(self, code: str) -> str:
        """Return what some code prints."""
        request = self.execute_cell_input(code)
        parts: list[str] = []
        while True:
            message = self.get_message("iopub")
            parts.append(message["content"].get("text", ""))
            if message["content"].get("execution_state") == "idle" and (
                message["parent_header"].get("msg_id") == request
            ):
                return "".join(parts)

    def execute_cell_input(self, cell_input: str, *, allow_stdin: bool = False) -> str:
        """Have a cell executed; returns what its messages will be known by."""
        code = {"code": cell_input, "silent": False, "store_history": False}
        further = {"user_expressions": {}, "stop_on_error": False}
        content = {**code, **further, "allow_stdin": bool(allow_stdin)}
        return self._send("execute_request", content)

    def get_message(self, stream: str, timeout: float | None = None) -> Message:
        """Wait for the next message of a channel; Empty if none comes."""
        self._socket.settimeout(timeout)
        while not self._read[stream]:
            try:
                message = json.loads(self._socket.recv())
            except websocket.WebSocketTimeoutException as error:
                raise Empty from error
            self._read[message["channel"]].append(message)
        return self._read[stream].popleft()

    def await_reply(self, msg_id: str, timeout: float | None = None) -> None:
        """Wait until a request is answered."""
        next_reply = partial(self.get_message, "shell", timeout)
        while next_reply()["parent_header"].get("msg_id") != msg_id:
            pass

    def await_idle(self, parent_id: str, timeout: float | None = None) -> None:
        """Wait until everything is published that a request has caused."""
        idle = parent_id, "idle"
        found: object = None
        while found != idle:
            message = self.get_message("iopub", timeout)
            state = message["content"].get("execution_state")
            found = message["parent_header"].get("msg_id"), state

    def is_alive(self) -> bool:
        """Tell whether the server still has it."""
        return bool(self._server.get(self._kernel).is_success)

    def interrupt(self) -> None:
        """Interrupt what it does."""
        self._server.post(f"{self._kernel}/interrupt")

    def stop(self) -> None:
        """End it."""
        self._socket.close()
        self._server.delete(self._kernel)

    def _send(self, kind: str, content: Message) -> str:
        name = uuid4().hex
        header = {"msg_id": name, "msg_type": kind, "version": "5.3", "session": name}
        message = {"header": header | {"username": ""}, "content": content}
        empty: Message = {"parent_header": {}, "metadata": {}, "buffers": []}
        self._socket.send(json.dumps(message | empty | {"channel": "shell"}))
        return name


def pytest_configure() -> None:
    """Take the place."""
    nbval.plugin.RunningKernel = lambda *_, **__: HubKernel(
        os.environ[SERVER], os.environ[TOKEN]
    )
