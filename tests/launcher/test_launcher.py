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
from types import SimpleNamespace

import pytest

from launcher import interpreter, packages, prepare, workshop
from launcher.interpreter import require_python, unsupported
from launcher.words import Stop
from launcher.workshop import explain, explain_refusal
from llm_walkthrough.machine import pythons

ROOT = Path(__file__).resolve().parents[2]
SHARED = [
    "errors.py",
    "guards/small_file.py",
    "conversion/record.py",
    "machine/pythons.py",
]
LAUNCHER = [
    ROOT / "run.py",
    *sorted((ROOT / "launcher").glob("*.py")),
    *(ROOT / "llm_walkthrough" / name for name in SHARED),
]
LINUX = "linux-x86_64"


# --- the Python it runs on --------------------------------------------------------


def test_a_python_that_is_too_old_can_read_the_launcher() -> None:
    for file in LAUNCHER:
        text = file.read_text("utf-8")
        ast.parse(text, str(file), feature_version=(3, 7))
        # else `list[str]` is looked up as the file is read, and 3.8 has no such thing
        assert "->" not in text or "from __future__ import annotations" in text, file


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


@pytest.mark.parametrize(
    ("version", "tag", "reason"),
    [
        ((3, 8), LINUX, "Python 3.11 to 3.14 is needed; this is 3.8"),
        *(((3, minor), LINUX, None) for minor in (11, 12, 13, 14)),
        ((3, 15), LINUX, "Python 3.11 to 3.14 is needed; this is 3.15"),
        ((3, 11), "win-arm64", "Python 3.12 to 3.14 is needed on Arm; this is 3.11"),
        ((3, 12), "win-arm64", None),
        ((3, 12), "win32", "a 64-bit Python is needed; this is a 32-bit one"),
    ],
)
def test_a_python_without_wheels_is_refused_with_the_reason(
    version: tuple[int, int], tag: str, reason: str | None
) -> None:
    assert unsupported(version, tag) == reason


def test_the_refusal_names_a_python_that_would_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interpreter, "NEWEST", (3, 11))
    monkeypatch.setattr(interpreter, "OLDEST", (3, 11))
    monkeypatch.setattr(sys, "version_info", (3, 10, 1))
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(interpreter, "does_start", lambda words: "3.11" in str(words))
    with pytest.raises(Stop, match=r"this is 3\.10: start with `.*3\.11 run\.py`"):
        require_python()


def test_a_name_that_starts_no_python_is_not_proposed() -> None:
    assert not interpreter.does_start([sys.executable, "-c", "raise SystemExit(1)"])


# --- pip's settings ---------------------------------------------------------------

SETTINGS = [
    ("index-url", "UV_DEFAULT_INDEX", "https://me:secret@mirror.school/simple"),
    ("extra-index-url", "UV_INDEX", "https://more.school/a https://last.school/b"),
    ("trusted-host", "UV_INSECURE_HOST", "mirror.school other.school:8443"),
    ("find-links", "UV_FIND_LINKS", "/srv/wheels"),
    ("proxy", "HTTPS_PROXY", "http://proxy.school:3128"),
    ("client-cert", "SSL_CLIENT_CERT", "me.pem"),
]


def for_uv(file: Path | str, **variables: str) -> dict[str, str]:
    """Let the real pip read a file and variables, and turn what it says into uv's."""
    kept = {name: os.environ[name] for name in os.environ if name[:4] != "PIP_"}
    started = workshop.Workshop(
        0, {**kept, "PIP_CONFIG_FILE": str(file), **variables}, {}
    )
    question = packages.ASK_PIP.replace('"-m", "uv", "cache", "dir"', '"-c", ""')
    return packages.uv_settings(started.ask(question))


@pytest.fixture
def _real_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workshop, "PYTHON", Path(sys.executable))
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)


@pytest.mark.usefixtures("_real_pip")
def test_uv_gets_what_pip_reads_from_its_files_and_its_variables(
    tmp_path: Path,
) -> None:
    file = tmp_path / "pip.conf"
    lines = [f"{name} = {value}" for name, _, value in SETTINGS]
    file.write_text("\n".join(["[install]", *lines]), encoding="utf-8")
    names = {name: f"PIP_{name.replace('-', '_').upper()}" for name, _, _ in SETTINGS}
    variables = {names[name]: value for name, _, value in SETTINGS}
    expected = {variable: value for _, variable, value in SETTINGS}.items()
    assert expected <= for_uv(file).items()
    assert expected <= for_uv(os.devnull, **variables).items()
    nearer = for_uv(file, PIP_INDEX_URL="https://nearer/simple")
    assert nearer["UV_DEFAULT_INDEX"] == "https://nearer/simple"
    assert set(for_uv(os.devnull)) == {"UV_INDEX_STRATEGY", "UV_SYSTEM_CERTS"}


@pytest.mark.usefixtures("_real_pip")
def test_uv_trusts_the_certificates_that_pip_trusts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert for_uv(os.devnull, PIP_CERT="my.pem")["SSL_CERT_FILE"] == "my.pem"
    folder = str(tmp_path)
    assert for_uv(os.devnull, PIP_CERT=folder)["SSL_CERT_DIR"] == folder
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "school.pem")
    assert for_uv(os.devnull, PIP_CERT=folder)["SSL_CERT_FILE"] == "school.pem"


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


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("ERROR: OSError: [Errno 28] No space left on device", "the disk is full"),
        ("FileNotFoundError: [Errno 2] No usable temporary directory", "is full"),
        ("[WinError 112] There is not enough space on the disk", "the disk is full"),
        ("SSLError('[SSL: CERTIFICATE_VERIFY_FAILED] certificate", "PIP_CERT"),
        ("ERROR: No matching distribution found for six", "for the reason above"),
    ],
)
def test_a_failure_of_pip_becomes_a_sentence_that_helps(said: str, words: str) -> None:
    assert words in explain(said)


def test_a_disk_too_full_for_a_tool_to_say_so_is_named_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    silent = [sys.executable, "-c", "raise SystemExit(1)"]
    bench = workshop.Workshop(0, dict(os.environ), {})
    for free, words in ((4096, "the disk is full"), (10**10, "for the reason above")):
        usage = SimpleNamespace(free=free)
        monkeypatch.setattr(shutil, "disk_usage", lambda _, usage=usage: usage)
        with pytest.raises(Stop, match=words):
            bench.check(silent)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "the disk is full"),
        (errno.EACCES, "the course cannot be changed: close Jupyter"),
        (errno.EIO, os.strerror(errno.EIO)),
    ],
)
def test_what_the_system_refuses_becomes_a_sentence(number: int, words: str) -> None:
    error = OSError(number, os.strerror(number), "the course")
    assert words in explain_refusal(error)


def test_too_little_room_is_said_before_the_work_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=300_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(Stop, match=r"has 0\.3 GB left, and 1\.5 GB are needed"):
        prepare.require_space(tmp_path / "not" / "yet", gigabytes=1.5)
    prepare.require_space(tmp_path, gigabytes=0.2)
