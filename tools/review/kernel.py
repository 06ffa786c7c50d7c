"""A learner's process with limits: started, asked, watched, and ended with its family.

Knows nothing of notebooks, nor of what is right.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from queue import Empty, Queue
from tempfile import mkdtemp
from threading import Thread
from time import monotonic
from typing import IO, Any, NamedTuple, cast

import psutil

from tools.review import learner

ROOT = Path(__file__).resolve().parents[2]
MOST_PROCESSES = 32
MOST_BYTES = 100_000_000  # of an answer
_GLANCE = 0.1  # seconds between two looks at the process
_KEPT = {"PATH", "LANG", "LC_ALL", "SYSTEMROOT", "LLM_WALKTHROUGH_MODELS"}
_PLACES = ("HOME", "USERPROFILE", "IPYTHONDIR", "TMPDIR", "TEMP", "TMP")
_APART = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
_WRAPPERS = [
    ["setpriv", "--pdeathsig", "KILL", "unshare", *who, *_APART]
    for who in (["--user", "--map-root-user"], [])
]


class Limits(NamedTuple):
    """What a learner's code may use."""

    seconds: float  # for one exercise
    memory: int  # bytes
    folder: str  # in which it gets one of its own


class StoppedError(BaseException):
    """There is no answer; a check, which may catch any other exception, ends, too."""


@cache
def wrapper() -> list[str]:
    """Return the command that shuts a process in; [] where the system has none.

    It has no network then, and all that it starts ends with it.
    """
    for words in _WRAPPERS:
        with suppress(OSError, subprocess.SubprocessError):
            test = [*words, "true"]
            subprocess.run(test, check=True, capture_output=True, timeout=10)  # noqa: S603 - ours
            return words
    return []


class Kernel:
    """A process in a new temporary folder. Close it."""

    def __init__(self, limits: Limits) -> None:
        self._limits, self._began = limits, monotonic()
        home = mkdtemp(dir=limits.folder)
        environment = {n: value for n, value in os.environ.items() if n in _KEPT}
        environment |= dict.fromkeys(_PLACES, home)
        environment |= {"PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1"}
        environment |= {"MPLBACKEND": "agg", "MPLCONFIGDIR": limits.folder}
        self._process = subprocess.Popen(  # noqa: S603 - ours
            [*wrapper(), sys.executable, "-P", learner.__file__, str(limits.memory)],
            cwd=home,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def ask(self, *request: object) -> tuple[Any, Any, Any, Any]:
        """Send a request, and wait for its answer, which has four parts.

        Raises:
            StoppedError: there is none.
        """
        answer = Queue[bytes]()
        told = learner.written(request), answer
        Thread(target=self._exchange, args=told, daemon=True).start()
        try:
            while True:
                with suppress(Empty):
                    line = answer.get(timeout=_GLANCE)
                    one, two, three, four = learner.read_plain(line)
                    return one, two, three, four
                self._look()
        except Exception as error:
            why = "It ends its own process, or sends something else from it."
            raise StoppedError(why) from error

    def close(self) -> None:
        """End the process and all that it started."""
        end(self._process.pid)
        self._process.wait()

    def _look(self) -> None:
        if monotonic() - self._began > self._limits.seconds:
            raise StoppedError(f"It takes more than {self._limits.seconds:g} s.")
        memory, processes = 0, family(self._process.pid)
        for process in processes:
            with suppress(psutil.Error):
                facts = process.memory_info()
                memory += facts.rss - getattr(facts, "shared", 0)
        if memory > self._limits.memory:
            raise StoppedError(f"It takes more than {self._limits.memory / 1e9:g} GB.")
        if len(processes) > MOST_PROCESSES:
            raise StoppedError(f"It starts more than {MOST_PROCESSES} processes.")

    def _exchange(self, request: bytes, answer: Queue[bytes]) -> None:
        """Send and receive, in a thread: a process that stands still lets it wait."""
        line = b""
        with suppress(OSError, ValueError):
            requests = cast("IO[bytes]", self._process.stdin)
            requests.write(request)
            requests.flush()
            line = cast("IO[bytes]", self._process.stdout).readline(MOST_BYTES)
        answer.put(line)


def family(number: int) -> list[psutil.Process]:
    """Return a process and all that it has started, as far as they can be found."""
    with suppress(psutil.Error):
        first = psutil.Process(number)
        return [first, *first.children(recursive=True)]
    return []


def end(number: int) -> None:
    """Kill a process that leads its group, that group, and all that it has started."""
    processes = family(number)
    if sys.platform != "win32":
        with suppress(OSError):
            os.killpg(number, signal.SIGKILL)
    for process in processes:
        with suppress(psutil.Error):
            process.kill()
