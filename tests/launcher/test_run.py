"""A start sets up what is missing, skips what is done, and survives what befalls it.

Run on a copy with stand-ins for pip and uv, so that a whole set-up takes a fraction of
a second; `fake_course` says what is real in it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_course import Course

import run
from launcher.places import FLOAT32, INT4
from llm_walkthrough.conversion.record import VERSION

GRAPH = hashlib.sha256(b"a graph").hexdigest()
on_posix = pytest.mark.skipif(os.name == "nt", reason="signals and flock are POSIX")


@pytest.fixture
def course(tmp_path: Path) -> Course:
    """A fresh clone, in a folder with a name that is not plain."""
    return Course(tmp_path / "ein Kurs é 课")


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = Course(tmp_path_factory.mktemp("set up") / "course")
    course.run("ask")
    return course


@pytest.fixture
def ready(answered: Course, tmp_path: Path) -> Course:
    """A course in which `ask` was done once."""
    return answered.copy(tmp_path / "course")


# --- what a start does ------------------------------------------------------------


def test_a_first_start_sets_up_and_then_does_the_job(course: Course) -> None:
    started = course.run("ask", "two words")
    assert started.returncode == 0
    assert started.stdout == "the command line has ['ask', 'two words']\n"
    assert "Installing the packages" in started.stderr


def test_a_second_start_sets_up_nothing_and_takes_no_lock(ready: Course) -> None:
    calls, lock = ready.calls(), ready.venv / "run.lock"
    lock.unlink()
    second = ready.run("ask", "again")
    assert ready.calls() == calls
    assert not lock.exists()
    assert second.stderr == ""
    assert second.stdout == "the command line has ['ask', 'again']\n"


def test_the_exit_status_of_the_job_is_ours(ready: Course) -> None:
    assert ready.run("fail").returncode == 7


def test_help_sets_nothing_up(course: Course) -> None:
    shown = course.run("--help")
    assert "python3 run.py test" in shown.stdout
    assert not course.venv.exists()


def test_no_word_means_the_lab_with_both_models(course: Course) -> None:
    assert course.run().stdout == "the command line has ['lab']\n"
    models = {path.name for path in (course.folder / "models").iterdir()}
    assert models == {"catalogue.toml", INT4, FLOAT32}


def test_only_pins_with_wheels_are_installed_and_only_into_the_venv(
    course: Course,
) -> None:
    course.run("doctor", PIP_USER="1", PIP_TARGET=str(course.folder))
    (fetch_uv,) = course.calls("pip")
    assert {"--require-virtualenv", "--no-deps"} <= set(fetch_uv["words"])
    assert "PIP_TARGET" not in fetch_uv["environment"]
    pins, link = course.calls("uv")
    assert {"--python", "--no-deps", "--only-binary=:all:"} <= set(pins["words"])
    assert {"--python", "--no-deps", "--editable"} <= set(link["words"])


@pytest.mark.parametrize(
    ("words", "models", "tests"),
    [
        (["lab"], (INT4, FLOAT32), ""),
        (["test"], (INT4, FLOAT32), "tests"),
        (["notebooks"], (INT4, FLOAT32), ""),
        (["ask", "hello"], (INT4,), ""),
        (["step"], (INT4,), ""),
        (["ask", "hello", "--model", "mine"], (), ""),
        (["ask", "hello", "--model=mine"], (), ""),
        (["ask", "--help"], (), ""),
        (["bench"], (INT4,), "tests"),
        (["doctor"], (), ""),
        (["models", "list"], (), ""),
    ],
)
def test_a_job_waits_only_for_what_it_needs(
    words: list[str], models: tuple[str, ...], tests: str
) -> None:
    assert run.needs(words[0], words[1:]) == (models, tests == "tests")


def test_test_pins_are_added_when_a_job_needs_them(ready: Course) -> None:
    assert "requirements-test.txt" not in str(ready.calls())
    ready.run("bench")
    assert "requirements-test.txt" in str(ready.calls("uv"))


# --- what it finds ----------------------------------------------------------------


def test_models_may_stand_elsewhere_in_a_folder_that_is_only_read(
    course: Course, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "shared models"
    course.run("ask", LLM_WALKTHROUGH_MODELS=str(elsewhere))
    elsewhere.chmod(0o555)
    second = course.run("ask", LLM_WALKTHROUGH_MODELS=str(elsewhere))
    assert (second.returncode, second.stderr) == (0, "")
    assert not (course.folder / "models" / INT4).exists()


@pytest.mark.parametrize(
    "damage",
    [
        {"version": 0, "sha256": {"model.onnx": GRAPH}},  # by another converter
        {"version": VERSION, "sha256": {"model.onnx": "0" * 64}},  # damaged
        {"version": VERSION, "sha256": {"gone": GRAPH}},
        {"version": VERSION},
        [],
    ],
)
def test_a_model_that_is_old_or_incomplete_is_fetched_again(
    ready: Course, damage: object
) -> None:
    record = ready.folder / "models" / INT4 / "conversion.json"
    record.write_text(json.dumps(damage), encoding="utf-8")
    ready.run("ask")
    whole = {"version": VERSION, "sha256": {"model.onnx": GRAPH}}
    assert json.loads(record.read_text("utf-8")) == whole


def test_changed_pins_are_installed_into_the_venv_that_is_there(ready: Course) -> None:
    pins = ready.folder / "requirements.txt"
    pins.write_text(pins.read_text("utf-8").replace("==", "==9"), encoding="utf-8")
    changed = ready.run("doctor")
    assert "Installing the packages" in changed.stderr
    assert "Making .venv" not in changed.stderr


def test_other_line_ends_are_no_other_pins(ready: Course) -> None:
    pins = ready.folder / "requirements.txt"
    pins.write_bytes(pins.read_bytes().replace(b"\n", b"\r\n"))
    assert ready.run("doctor").stderr == ""


@pytest.mark.parametrize("key", ["real", "root"])
def test_a_venv_whose_interpreter_or_folder_is_gone_is_made_anew(
    ready: Course, key: str
) -> None:
    stamp = ready.venv / "run.json"
    facts = json.loads(stamp.read_text("utf-8"))
    stamp.write_text(json.dumps({**facts, key: "/gone"}), encoding="utf-8")
    assert "Making .venv" in ready.run("doctor").stderr


@on_posix
def test_a_venv_with_a_dead_link_for_a_python_is_made_anew(ready: Course) -> None:
    python = ready.venv / "bin" / "python"
    python.unlink()
    python.symlink_to("/gone/python3")
    again = ready.run("doctor")
    assert (again.returncode, "Making .venv" in again.stderr) == (0, True)


def test_a_venv_that_somebody_else_made_is_used_as_it_is(ready: Course) -> None:
    (ready.venv / "run.json").unlink()
    (ready.venv / "run.lock").unlink()
    mine = ready.venv / "mine"
    mine.touch()
    assert "Making .venv" not in ready.run("doctor").stderr
    assert mine.exists()


# --- what befalls it --------------------------------------------------------------


@on_posix
def test_killed_while_uv_works_the_next_start_waits_for_it_and_begins_anew(
    course: Course,
) -> None:
    hold = course.write("hold-uv", "")
    killed = course.start("doctor")
    course.wait_for("uv")
    killed.kill()
    killed.wait()
    second = course.start("doctor")
    assert second.stderr
    assert "waiting" in second.stderr.readline()
    half_made = course.venv / "half-made"
    half_made.touch()
    hold.unlink()
    _, said = second.communicate(timeout=30)
    assert "Making .venv" in said
    assert second.returncode == 0
    assert not half_made.exists()


def test_killed_while_the_venv_is_made_the_next_start_makes_it(course: Course) -> None:
    (course.venv / "bin").mkdir(parents=True)
    (course.venv / "run.lock").touch()
    (course.venv / "pyvenv.cfg").write_text("home =")
    assert course.run("doctor").returncode == 0


def test_of_two_starts_one_sets_up_and_the_other_waits(course: Course) -> None:
    hold = course.write("hold-uv", "")
    first = course.start("doctor")
    course.wait_for("uv")
    second = course.start("doctor")
    assert second.stderr
    assert "Another run.py is setting up" in second.stderr.readline()
    hold.unlink()
    for start in (first, second):
        start.communicate(timeout=30)
        assert start.returncode == 0
    assert len(course.calls("uv")) == 2  # the pins, the package: once


@on_posix
def test_ctrl_c_while_setting_up_ends_in_one_sentence(course: Course) -> None:
    course.write("hold-uv", "")
    started = course.start("doctor")
    course.wait_for("uv")
    started.send_signal(signal.SIGINT)
    _, said = started.communicate(timeout=30)
    assert started.returncode == 130
    assert said.endswith("run.py: stopped; the next start will carry on.\n")


def test_where_there_is_no_uv_pip_installs_everything(course: Course) -> None:
    course.write("no-uv", "")
    started = course.run("doctor")
    assert started.returncode == 0
    _, pins, link = course.calls("pip")
    assert {"--require-virtualenv", "--only-binary=:all:"} <= set(pins["words"])
    assert {"--require-virtualenv", "--editable"} <= set(link["words"])
    assert "trying pip" in started.stderr


@pytest.mark.parametrize(("fault", "venvs"), [("no TLS 1.2", 1), ("half done", 2)])
def test_what_uv_cannot_do_pip_does_in_a_venv_without_its_remains(
    course: Course, fault: str, venvs: int
) -> None:
    course.write("break-uv", fault)
    started = course.run("doctor")
    assert started.returncode == 0
    assert fault in started.stderr
    assert started.stderr.count("Making .venv") == venvs
    assert [call["tool"] for call in course.calls()] == ["pip", "uv", "pip", "pip"]


def test_what_pip_cannot_do_is_one_sentence_and_the_next_start_tries_again(
    course: Course,
) -> None:
    broken = course.write("break-pip", "OSError: [Errno 28] No space left on device")
    failed = course.run("doctor")
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith("run.py: the disk is full")
    assert "Traceback" not in failed.stderr
    broken.unlink()
    assert course.run("doctor").returncode == 0


def test_a_file_in_the_place_of_the_venv_is_one_sentence(course: Course) -> None:
    course.venv.write_text("not a folder")
    failed = course.run("doctor")
    assert failed.returncode == 1
    sentence = f"run.py: {course.venv} is in the way: move it away, then start again.\n"
    assert failed.stderr == sentence


@pytest.mark.parametrize("damage", [None, b"", b"\xff\xfe", b"[[model]]\nname = 3"])
def test_a_catalogue_that_is_damaged_is_one_sentence(
    course: Course, damage: bytes | None
) -> None:
    catalogue = course.folder / "models" / "catalogue.toml"
    catalogue.unlink()
    if damage is not None:
        catalogue.write_bytes(damage)
    failed = course.run("ask")
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"run.py: {catalogue} is damaged or missing")
    assert failed.stderr.count("\n") == 1
    assert course.run("--help").returncode == 0


def wrong(**facts: object) -> Callable[[dict[str, object]], bytes]:
    return lambda stamp: json.dumps({**stamp, **facts}).encode()


DAMAGES: dict[str, Callable[[dict[str, object]], bytes]] = {
    "empty": lambda _: b"",
    "not UTF-8": lambda _: b"\xff",
    "cut off": lambda stamp: json.dumps(stamp).encode()[:40],
    "a list": lambda _: b"[]",
    "deep": lambda _: b"[" * 99_999,
    "no path": wrong(real="a\0b", base="a\0b"),
    "no text": wrong(real="\ud800", base="\ud800"),
    "too long": wrong(real="a" * 5000, base="a" * 5000),
    "numbers": wrong(root=1, real=2, base=3),
    "a number for a version": wrong(version=3),
    "a list of packages": wrong(installed=[1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_where_the_note_of_what_is_done_is_damaged_it_is_done_again(
    ready: Course, damage: str
) -> None:
    stamp = ready.venv / "run.json"
    facts = json.loads(stamp.read_text("utf-8"))
    stamp.write_bytes(DAMAGES[damage](facts))
    again = ready.run("doctor")
    assert (again.returncode, "Making .venv" in again.stderr) == (0, True)
    assert json.loads(stamp.read_text("utf-8"))["installed"]


@on_posix
@pytest.mark.parametrize("name", ["cost $x", "course [1]", "$HOME", "100 %", "a#b;c"])
def test_a_folder_may_have_an_odd_name(tmp_path: Path, name: str) -> None:
    course = Course(tmp_path / name)
    assert course.run("ask").returncode == 0
    editable = course.calls("uv")[-1]
    assert editable["words"][-1] == course.folder.as_uri()  # [1] would be an extra
    for variable in re.findall(r"\$(\w+)", name):  # setuptools expands it in paths
        kept = os.environ.get(variable, f"${variable}")
        assert editable["environment"][variable] == kept


def test_a_folder_that_setuptools_cannot_take_is_named(tmp_path: Path) -> None:
    course = Course(tmp_path / "a{b}")
    failed = course.run("doctor")
    assert f"{course.folder}: setuptools cannot read {{ or }}" in failed.stderr
    assert not course.venv.exists()
