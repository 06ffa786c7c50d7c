"""The process in which a learner's cells run, and what may come out of it.

Requests and answers are lines on what were its standard input and output; the learner's
code finds others there. Knows nothing of what is right.
"""

from __future__ import annotations

import base64
import contextlib
import io
import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from llm_walkthrough.exercises.exercise import told

MOST_SECONDS = 900  # of a processor, in case that nobody is left to end it
LARGEST_FILE = 100_000_000  # bytes that it may write
_PLAIN = {  # all that pickle may look up for an answer: none of it runs code
    "builtins": {"Ellipsis", "complex", "range"},
    "numpy": {"dtype", "ndarray"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> object:
        if name in _PLAIN.get(module, ()):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def read_plain(line: bytes) -> Any:  # noqa: ANN401 - whatever was written
    """Read numbers, texts, arrays, and lists of them; no code runs, whoever wrote it.

    Raises:
        Exception: it is none of that.
    """
    return _Plain(io.BytesIO(base64.b64decode(line))).load()


def written(value: object) -> bytes:
    """Return a value as a line."""
    return base64.b64encode(pickle.dumps(value)) + b"\n"


def serve(memory: int) -> None:
    """Answer until nobody asks."""
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    # DATA: without mapped files, as weights are
    limit(DATA=memory, FSIZE=LARGEST_FILE, CPU=MOST_SECONDS, CORE=0)
    config = Config()
    config.HistoryManager.enabled = False
    shell: Any = InteractiveShell.instance(config=config)
    shell.ask_exit = sys.exit  # of `exit()`
    for line in requests:  # they are ours, and never the learner's
        what, *given = pickle.loads(base64.b64decode(line))  # noqa: S301 - as said
        answers.write(written(_DO[what](shell, *given)))
        answers.flush()


def limit(**limits: int) -> None:
    """Limit this process, where the system can; by the names of `RLIMIT_…`."""
    if sys.platform != "win32":
        import resource  # noqa: PLC0415 - not everywhere

        for name, most in limits.items():
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))


def _run(shell: Any, cells: Sequence[str], name: str) -> object:  # noqa: ANN401
    """Run cells; returns what the last of them that stopped, stopped with.

    With it comes whether there is a value of this name, whether it is a function, and
    what it is.
    """
    why = "it is empty"
    for cell in cells:
        done = shell.run_cell(cell, silent=True)
        error = done.error_before_exec or done.error_in_exec
        if error is not None:
            why = f"{type(error).__name__}: {error}"
    value = shell.user_ns.get(name)
    return why, name in shell.user_ns, callable(value), plain(value)


def _call(shell: Any, name: str, arguments: tuple[Any, ...]) -> object:  # noqa: ANN401
    """Return where a function stopped or what it gives, and the arguments after it."""
    stopped, given = "", None
    try:
        given = shell.user_ns[name](*arguments)
        if isinstance(given, Iterator):  # a generator, which has not run yet
            given = list(given)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too
        stopped = told(error)
    fed = [getattr(argument, "num_fed", 0) for argument in arguments]
    return stopped, plain(given), [*map(plain, arguments)], fed


def plain(value: object) -> object:
    """Return the value, what it is equal to, or how it looks if it cannot be sent."""
    for made in (lambda: value, lambda: _without_classes(value)):
        with contextlib.suppress(Exception):  # a learner's own may raise any
            read_plain(written(found := made()))
            return found
    with contextlib.suppress(Exception):
        return repr(value)[:300]
    return f"a {type(value).__name__}"


def _without_classes(value: Any) -> Any:  # noqa: ANN401 - a learner returns anything
    """Return a Counter as a dict, and so on: the built-in value that it is equal to."""
    makers = (make for kind, make in _BUILT_IN if isinstance(value, kind))
    return next(makers, lambda same: same)(value)


def _inner(kind: type) -> Callable[[Any], object]:
    return lambda values: kind(map(_without_classes, values))


_BUILT_IN: tuple[tuple[Any, Callable[[Any], object]], ...] = (
    ((bool, np.generic), lambda same: same),  # else an int, or a float
    (np.ndarray, np.asarray),
    (dict, lambda pairs: dict(map(_without_classes, dict.items(pairs)))),
    *((kind, _inner(kind)) for kind in (list, tuple, set, frozenset)),
    (str, str.__str__),  # whatever its own class makes of `str()`, as an Enum does
    (int, int.__int__),
    (float, float.__float__),
)
_DO: dict[str, Any] = {"run": _run, "call": _call}

if __name__ == "__main__":
    serve(int(sys.argv[1]))
