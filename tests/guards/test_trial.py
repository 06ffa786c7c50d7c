"""What is tried in a process of its own cannot take this one along."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards import trial
from llm_walkthrough.guards.trial import TrialError, tried


# The process for trials imports the package, and functions that stand in the open.
def answered(text: str, action: str = "") -> str:
    """Stand for a stranger's program that does as it likes."""
    if action == "refuse":
        raise InputError(text)
    if action == "fail":
        raise LookupError(text)
    if action == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if action == "hoard":
        _ = bytearray(2 * trial.MOST_BYTES)
        time.sleep(60)
    while action == "spin":
        pass
    return f"{os.getpid()} {text}"


ANSWERED = f"{Path(__file__).stem}:answered"


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Iterator[trial.Process]:
    """Let trials find this module, in a process that no other test uses."""
    here = str(Path(__file__).parent)
    own = trial.Process(f"import sys; sys.path.insert(0, {here!r}){trial.PROGRAM}")
    monkeypatch.setattr(trial, "PROCESS", own)
    yield own
    own.end()


@pytest.mark.usefixtures("process")
def test_one_other_process_answers_all_trials() -> None:
    first, second = tried(ANSWERED, "a\nb"), tried(ANSWERED, "é\ud800")
    assert [first.split(" ")[1], second.split(" ")[1]] == ["a\nb", "é\ud800"]
    pids = {int(answer.split(" ")[0]) for answer in (first, second)}
    assert len(pids - {os.getpid()}) == 1


@pytest.mark.usefixtures("process")
def test_what_the_program_raises_comes_back() -> None:
    with pytest.raises(InputError, match=r"^not that$"):
        tried(ANSWERED, "not that", "refuse")
    with pytest.raises(ValueError, match="nothing there") as raised:
        tried(ANSWERED, "nothing there", "fail")
    assert not isinstance(raised.value, InputError)
    assert tried(ANSWERED, "alive").endswith(" alive")


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize(
    ("action", "reason"),
    [("crash", "crashes"), ("hoard", "needs more than 1 GB"), ("spin", "takes more")],
)
def test_a_program_without_measure_ends_its_own_process(
    monkeypatch: pytest.MonkeyPatch, action: str, reason: str
) -> None:
    monkeypatch.setattr(trial, "MOST_SECONDS", 0.3 if action == "spin" else 60.0)
    with pytest.raises(TrialError, match=reason):
        tried(ANSWERED, "", action)
    assert tried(ANSWERED, "next").endswith(" next")


@pytest.mark.usefixtures("process")
def test_an_interrupted_trial_leaves_nothing_to_the_next_one() -> None:
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        tried(ANSWERED, "lost", "spin")
    assert tried(ANSWERED, "next").endswith(" next")


@pytest.mark.usefixtures("process")
def test_threads_get_their_own_answers() -> None:
    found: dict[int, str] = {}

    def ask(number: int) -> None:
        found[number] = tried(ANSWERED, str(number))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: int(answer.split(" ")[1]) for n, answer in found.items()} == {
        n: n for n in range(8)
    }


def test_where_there_are_no_processes_the_function_is_called_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "")
    assert tried(f"{__name__}:answered", "here") == f"{os.getpid()} here"
