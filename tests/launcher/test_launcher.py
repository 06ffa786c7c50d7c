"""What run.py knows of Pythons, of pip's settings and failures, and of disks."""

from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from launcher import interpreter, packages, prepare, tools
from launcher.interpreter import require_python, unsupported
from launcher.tools import explain, explain_refusal
from launcher.words import Stop
from llm_walkthrough.machine import pythons

ROOT = Path(__file__).resolve().parents[2]
SHARED = ["conversion/record.py", "machine/pythons.py"]
LAUNCHER = [
    ROOT / "run.py",
    *sorted((ROOT / "launcher").glob("*.py")),
    *(ROOT / "llm_walkthrough" / name for name in SHARED),
]
LINUX = "linux-x86_64"


# --- the Python it runs on --------------------------------------------------------


def test_a_python_that_is_too_old_can_read_the_launcher() -> None:
    for file in LAUNCHER:
        ast.parse(file.read_text("utf-8"), str(file), feature_version=(3, 7))


def test_the_launcher_needs_the_standard_library_alone() -> None:
    imported = set()
    for file in LAUNCHER:
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module)
    shared = {f"llm_walkthrough.{name[:-3].replace('/', '.')}" for name in SHARED}
    roots = {name.partition(".")[0] for name in imported - shared}
    assert roots <= sys.stdlib_module_names | {"launcher"}


def test_the_range_of_pythons_begins_where_pip_lets_the_package_in() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={interpreter.dotted(pythons.OLDEST)}"


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


# --- pip's settings ---------------------------------------------------------------

FILE = """\
[global]
index-url = https://me:secret@mirror.school/simple
proxy = http://proxy.school:3128
[install]
extra-index-url = https://more.school/simple https://last.school/simple
trusted-host = mirror.school
    other.school:8443
find-links = /srv/wheels
"""
VARIABLES = {
    "PIP_INDEX_URL": "https://me:secret@mirror.school/simple",
    "PIP_EXTRA_INDEX_URL": "https://more.school/simple https://last.school/simple",
    "PIP_TRUSTED_HOST": "mirror.school other.school:8443",
    "PIP_FIND_LINKS": "/srv/wheels",
    "PIP_PROXY": "http://proxy.school:3128",
}
FOR_UV = {
    "UV_DEFAULT_INDEX": "https://me:secret@mirror.school/simple",
    "UV_INDEX": "https://more.school/simple https://last.school/simple",
    "UV_INSECURE_HOST": "mirror.school other.school:8443",
    "UV_FIND_LINKS": "/srv/wheels",
    "HTTPS_PROXY": "http://proxy.school:3128",
    "HTTP_PROXY": "http://proxy.school:3128",
}


def for_uv(file: Path | str, **variables: str) -> dict[str, str]:
    """Let the real pip read a file and variables, and turn what it says into uv's."""
    kept = {name: os.environ[name] for name in os.environ if name[:4] != "PIP_"}
    workshop = tools.Workshop(0, {**kept, "PIP_CONFIG_FILE": str(file), **variables})
    question = packages.ASK_PIP.replace('"-m", "uv", "cache", "dir"', '"-c", ""')
    return packages.uv_settings(workshop.ask(question))


@pytest.fixture
def _real_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "PYTHON", Path(sys.executable))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.mark.usefixtures("_real_pip")
def test_uv_gets_what_pip_reads_from_its_files_and_its_variables(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pip.conf"
    file.write_text(FILE, encoding="utf-8")
    assert FOR_UV.items() <= for_uv(file).items()
    assert FOR_UV.items() <= for_uv(os.devnull, **VARIABLES).items()
    both = for_uv(file, PIP_INDEX_URL="https://nearer/simple")
    assert both["UV_DEFAULT_INDEX"] == "https://nearer/simple"


@pytest.mark.usefixtures("_real_pip")
def test_what_pip_leaves_open_is_left_to_uv() -> None:
    ours = {"UV_INDEX_STRATEGY": "unsafe-best-match", "UV_SYSTEM_CERTS": "1"}
    assert for_uv(os.devnull) == ours


@pytest.mark.usefixtures("_real_pip")
def test_uv_trusts_the_certificates_that_pip_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "school.pem")
    assert for_uv(os.devnull)["SSL_CERT_FILE"] == "school.pem"
    settings = for_uv(os.devnull, PIP_CERT=str(tmp_path), PIP_CLIENT_CERT="me.pem")
    assert settings["SSL_CERT_DIR"] == str(tmp_path)
    assert settings["SSL_CLIENT_CERT"] == "me.pem"


# --- what failed ------------------------------------------------------------------

NO_INDEX = "http://127.0.0.1:9/simple"  # nothing listens there


def test_no_network_is_recognised_in_the_words_of_the_real_pip(tmp_path: Path) -> None:
    words = ["pip", "download", "--retries=1", "--dest", str(tmp_path), "six"]
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


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: OSError: [Errno 28] No space left on device", "the disk is full"),
        ("[WinError 112] There is not enough space on the disk", "the disk is full"),
        ("SSLError('[SSL: CERTIFICATE_VERIFY_FAILED] certificate", "PIP_CERT"),
        (RETRYING, "cannot be reached: check the network"),
        ("ERROR: No matching distribution found for six", "for the reason above"),
    ],
)
def test_a_failure_of_pip_becomes_a_sentence_that_helps(said: str, words: str) -> None:
    assert words in explain(said)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "the course may not be changed: close Jupyter"),
        (errno.EROFS, "the course may not be changed: close Jupyter"),
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
