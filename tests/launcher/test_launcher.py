"""What run.py knows of Pythons, of pip's failures, of disks and of checks."""

from __future__ import annotations

import ast
import errno
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from launcher import checks, interpreter, prepare
from launcher.interpreter import require_python, unsupported
from launcher.tools import explain, explain_refusal
from launcher.words import Stop

ROOT = Path(__file__).resolve().parents[2]
LAUNCHER = [ROOT / "run.py", *sorted((ROOT / "launcher").glob("*.py"))]
LINUX = "linux-x86_64"


# --- the Python it runs on --------------------------------------------------------


@pytest.mark.parametrize("file", LAUNCHER, ids=lambda file: file.name)
def test_a_python_that_is_too_old_can_read_the_launcher(file: Path) -> None:
    ast.parse(file.read_text("utf-8"), feature_version=(3, 7))


@pytest.mark.parametrize("file", LAUNCHER, ids=lambda file: file.name)
def test_the_launcher_needs_the_standard_library_alone(file: Path) -> None:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module.partition(".")[0])
    shared = {"llm_walkthrough"}  # conversion.record, which needs no more than this
    assert imported <= sys.stdlib_module_names | {"launcher"} | shared


@pytest.mark.parametrize("minor", [11, 12, 13, 14])
def test_pythons_that_have_all_wheels_are_taken(minor: int) -> None:
    assert unsupported((3, minor), LINUX) is None


@pytest.mark.parametrize(
    ("version", "tag", "words"),
    [
        ((3, 8), LINUX, "Python 3.11 to 3.14 is needed, this is 3.8"),
        ((3, 15), LINUX, "Python 3.11 to 3.14 is needed, this is 3.15"),
        ((3, 11), "win-arm64", "Python 3.12 to 3.14 is needed on Arm, this is 3.11"),
        ((3, 12), "win32", "64-bit"),
        ((3, 12), "macosx-x86_64", "Apple processor"),
    ],
)
def test_other_pythons_are_refused_with_the_reason(
    version: tuple[int, int], tag: str, words: str
) -> None:
    assert words in (unsupported(version, tag) or "")


def test_windows_on_arm_is_taken_from_python_3_12_on() -> None:
    assert unsupported((3, 12), "win-arm64") is None


def test_the_refusal_names_a_python_that_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interpreter, "NEWEST", (3, 11))
    monkeypatch.setattr(interpreter, "OLDEST", (3, 11))
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(
        interpreter, "does_start", lambda command: "3.11" in str(command)
    )
    with pytest.raises(Stop, match=r"this is 3\.10: start with `.*3\.11 run\.py`"):
        require_python()


def test_a_name_that_starts_no_python_is_not_proposed() -> None:
    assert not interpreter.does_start([sys.executable, "-c", "raise SystemExit(1)"])


@pytest.mark.parametrize("lacking", ["venv", "ensurepip"])
def test_a_python_without_venv_is_told_which_package_to_install(
    monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == lacking else find_spec(name),
    )
    with pytest.raises(Stop, match=r"sudo apt install python3\.\d+-venv"):
        require_python()


# --- what failed ------------------------------------------------------------------

NO_INDEX = "http://127.0.0.1:9/simple"  # nothing listens there


def test_no_network_is_recognised_in_the_words_of_the_real_pip(tmp_path: Path) -> None:
    words = ["pip", "download", "--retries=0", "--dest", str(tmp_path), "six"]
    kept = {name: text for name, text in os.environ.items() if name[:4] != "PIP_"}
    said = subprocess.run(
        [sys.executable, "-m", *words, f"--index-url={NO_INDEX}"],
        env=kept | {"PIP_CONFIG_FILE": os.devnull},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "cannot be reached: check the network" in explain(said.stdout + said.stderr)


RETRYING = """\
WARNING: Retrying (Retry(total=0, connect=None, read=None)) after connection broken by \
'NewConnectionError(': Failed to establish a new connection: [Errno 111] Connection \
refused')': /simple/anyio/
ERROR: No matching distribution found for anyio==4.16.0
"""
MISSING = """\
Collecting anyio==4.16.0
  Downloading anyio-4.16.0-py3-none-any.whl (134 kB)
Collecting onnxruntime==1.32.0
ERROR: Could not find a version that satisfies onnxruntime==1.32.0 (from versions: none)
ERROR: No matching distribution found for onnxruntime==1.32.0
"""


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: OSError: [Errno 28] No space left on device", "the disk is full"),
        ("[WinError 112] There is not enough space on the disk", "the disk is full"),
        ("ERROR: [WinError 5] Access is denied: 'C:\\x.pyd'", "close JupyterLab"),
        ("SSLError('[SSL: CERTIFICATE_VERIFY_FAILED] certificate", "PIP_CERT"),
        ("HINT: this system has no Windows Long Path support", "path of this folder"),
        (RETRYING, "cannot be reached: check the network"),
        (MISSING, "no ready-made onnxruntime==1.32.0"),
        ("line one\nERROR: something new\n", "the words: ERROR: something new"),
        ("", "(nothing)"),
    ],
)
def test_a_failure_of_pip_becomes_a_sentence_that_helps(said: str, words: str) -> None:
    assert words in explain(said)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "the course may not be written: copy the course"),
        (errno.EROFS, "the course may not be written: copy the course"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_system_refuses_becomes_a_sentence(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), "the course")
    assert words in explain_refusal(error)


def test_too_little_room_is_said_before_the_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        free = 300_000_000

    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage)
    with pytest.raises(Stop, match=r"has 0\.3 GB left, and 1\.5 GB are needed"):
        prepare.require_space(tmp_path / "not" / "yet", gigabytes=1.5)
    prepare.require_space(tmp_path, gigabytes=0.2)


# --- models and checks ------------------------------------------------------------


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    lesson = tmp_path / "test_lesson.py"
    lesson.write_text("import pytest\ndef test_a(): pytest.skip('no browser')\n")
    return lesson


@pytest.mark.parametrize(("ci", "fault"), [("true", "1 skipped"), ("", "")])
def test_a_skip_is_a_failure_under_ci_alone(
    lesson: Path, monkeypatch: pytest.MonkeyPatch, ci: str, fault: str
) -> None:
    monkeypatch.setattr(checks, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # for speed
    monkeypatch.setenv("CI", ci)
    found = checks.run_check(
        ["pytest", "-q", f"--rootdir={lesson.parent}", str(lesson)]
    )
    assert fault in found
    assert bool(fault) == bool(found)


def test_every_check_is_run_and_one_that_is_red_fails_the_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checks, "PYTHON", Path(sys.executable))
    green = ["ast", os.devnull]
    commands = {"first": green, "second": ["no_such_module"], "third": green}
    monkeypatch.setattr(checks, "checks", lambda: commands)
    assert checks.run_checks() == 1
    said = capsys.readouterr().err.splitlines()
    assert [line.split()[0] for line in said if " s  " in line] == [
        "green",
        "red",
        "green",
    ]
    assert said[-1] == "checks: 2 passed, 1 failed"


def test_every_notebook_is_checked_the_solutions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["01_b.ipynb", "00_a.ipynb", "solutions/00_a.ipynb"]
    for name in [*names, ".ipynb_checkpoints/00_a-checkpoint.ipynb"]:
        file = tmp_path / "notebooks" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    monkeypatch.setattr(checks, "ROOT", tmp_path)
    found = [
        Path(name).relative_to(tmp_path / "notebooks") for name in checks.notebooks()
    ]
    assert found == [Path(name) for name in sorted(names)]
    assert "--nbval" in checks.checks()["notebooks"]
