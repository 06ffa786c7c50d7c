"""A process of its own, in which a program that a stranger wrote is tried.

Chat templates and grammars are programs. One that crashes, never ends or takes all of
the memory ends that process, and not the kernel that asked. The process stays for the
next trial, so that only the first one waits for its start. Knows nothing of what is
tried, and keeps nobody out of files: that is up to the sandbox of what is tried.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from pkgutil import resolve_name
from time import monotonic
from typing import IO, cast

from llm_walkthrough.errors import InputError

MOST_SECONDS = 5.0  # of a processor, so that a busy machine does not shorten them
MOST_BYTES = 1_000_000_000  # of memory that the process may hold
_MOST_WAITING = 60.0  # seconds by the clock, whatever the process is doing
_GLANCE = 0.05  # seconds between two looks at the process; most trials are shorter

PROGRAM = """
import sys
sys.path.insert(0, sys.argv[1])
from llm_walkthrough.guards.trial import serve
for module in sys.argv[2:]:
    __import__(module)
serve(sys.stdin, sys.stdout)
"""


class TrialError(RuntimeError):
    """A trial without a result; the message goes on from "it", as in "it crashes"."""


def tried(function: str, *arguments: object) -> str:
    """Return what a function makes of some arguments in the process for trials.

    It is named as in "package.module:function", takes what JSON can write, and returns
    a text. What it raises comes as an InputError if it is one, else as a ValueError of
    that message; TrialError if it was stopped at a limit, or has crashed.
    """
    if not sys.executable:  # Python inside another program, such as a browser
        return _called(function, arguments)
    answer = PROCESS.asked(json.dumps([function, arguments]))
    if "refused" in answer:
        raise InputError(answer["refused"])
    if "failed" in answer:
        raise ValueError(answer["failed"])
    return answer["returned"]


def prepare(*modules: str) -> None:
    """Start the process and let it load modules, while there is other work to do."""
    if sys.executable:
        PROCESS.start(*filter(find_spec, modules))


def serve(requests: IO[str], answers: IO[str]) -> None:
    """Answer requests, one on each line, until there are no more; in the process."""
    for request in requests:
        try:
            answer = {"returned": _called(*json.loads(request))}
        except InputError as error:
            answer = {"refused": str(error)}
        except Exception as error:  # noqa: BLE001 - a stranger's program raises anything
            answer = {"failed": str(error) or type(error).__name__}
        answers.write(f"{json.dumps(answer)}\n")
        answers.flush()


def _called(function: str, arguments: Iterable[object]) -> str:
    returned: str = resolve_name(function)(*arguments)
    return returned


class Process:
    """The process in which trials are made, started when it is first needed."""

    def __init__(self, program: str = PROGRAM) -> None:
        self._program = program
        self._lock = threading.RLock()  # one trial at a time
        self._running: subprocess.Popen[str] | None = None
        self._owner = 0  # the process that started it: a fork must not share its pipes

    def asked(self, request: str) -> dict[str, str]:
        """Return the answer to one request, as `serve` has them, or a TrialError."""
        with self._lock, ThreadPoolExecutor(1) as reader:
            process, limit, answer = self.start(), "", ""
            reading = reader.submit(_sent, process, request)
            try:
                limit = _limit_passed(process, reading)
                answer = "" if limit else reading.result()
            finally:
                if not answer:  # the next one must not read what is left
                    self.end()
            if not answer:
                raise TrialError(limit or "crashes")
        found: dict[str, str] = json.loads(answer)
        return found

    def start(self, *modules: str) -> subprocess.Popen[str]:
        """Return the process; one that has to be started loads these modules first."""
        with self._lock:
            running = self._running if self._owner == os.getpid() else None
            if running is None or running.poll() is not None:
                root = str(Path(__file__).parents[2])
                self._running = running = subprocess.Popen(  # noqa: S603 - ourselves
                    [sys.executable, "-I", "-c", self._program, root, *modules],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    encoding="ascii",
                    start_new_session=True,  # Ctrl-C is for the process that asked
                )
                self._owner = os.getpid()
            return running

    def end(self) -> None:
        """End the process, if this one has started it."""
        process, self._running = self._running, None
        if process is None or self._owner != os.getpid():
            return
        with process:  # which closes the pipes, and waits for its end
            process.kill()


def _sent(process: subprocess.Popen[str], request: str) -> str:
    """Return the line that answers a request; "" if the process ends before."""
    requests, answers = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)
    try:
        requests.write(f"{request}\n")
        requests.flush()
        return answers.readline()
    except OSError:
        return ""


def _limit_passed(process: subprocess.Popen[str], reading: Future[str]) -> str:
    """Wait for an answer; say which limit the process passes before, "" for none."""
    start, before = monotonic(), None
    if wait([reading], _GLANCE).done:
        return ""
    import psutil  # noqa: PLC0415 - takes a while, and most trials are over by now

    with suppress(psutil.Error):  # it has ended by itself
        while not wait([reading], _GLANCE).done:
            facts = psutil.Process(process.pid)
            spent = sum(facts.cpu_times()[:2])  # user and system, in seconds
            before = spent if before is None else before
            if facts.memory_info().rss > MOST_BYTES:
                return f"needs more than {MOST_BYTES / 1e9:.0f} GB of memory"
            waited = monotonic() - start - _MOST_WAITING
            if max(spent - before, waited) > MOST_SECONDS:
                return f"takes more than {MOST_SECONDS:.0f} s"
    return ""


PROCESS = Process()
atexit.register(PROCESS.end)
