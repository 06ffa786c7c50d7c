"""The Python that runs the course: whether this one can, and which other could."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import sysconfig

from launcher.words import Stop
from llm_walkthrough.machine.pythons import NEWEST, OLDEST


def platform_tag() -> str:
    """Name operating system and processor of this Python, such as `linux-x86_64`."""
    if sys.platform == "darwin":  # a universal Python does not say which half runs
        return "macosx-" + platform.machine()
    return sysconfig.get_platform()


def dotted(version: tuple[int, ...]) -> str:
    """Write a version as people do: 3.12."""
    return ".".join(map(str, version))


def unsupported(version: tuple[int, ...], tag: str) -> str | None:
    """Say why such a Python cannot run the course; None if it can."""
    found = dotted(version)
    if not OLDEST <= version <= NEWEST:
        return f"Python {dotted(OLDEST)} to {dotted(NEWEST)} is needed; this is {found}"
    if tag == "win-arm64" and version == OLDEST:
        return f"Python 3.12 to {dotted(NEWEST)} is needed on Arm; this is {found}"
    if tag == "win32":
        return "a 64-bit Python is needed; this is a 32-bit one"
    if tag == "macosx-x86_64":
        return "an Apple processor and an Arm Python are needed (for onnxruntime)"
    return None


def require_python() -> None:
    """Stop unless this Python can make an environment for the course."""
    reason = unsupported(sys.version_info[:2], platform_tag())
    if reason:
        other = other_python()
        way_out = f"start with `{other} run.py`" if other else "get it from python.org"
        raise Stop(f"{reason}: {way_out}.")


def other_python() -> str | None:
    """Find a command on this machine that starts a Python which would do."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        command = ["py", f"-3.{minor}"] if os.name == "nt" else [f"python3.{minor}"]
        if shutil.which(command[0]) and does_start(command):
            return " ".join(command)
    return None


def does_start(command: list[str]) -> bool:
    """Tell whether a command is a Python that works, not just a name for one."""
    silent = subprocess.DEVNULL
    return subprocess.call([*command, "-c", ""], stdout=silent, stderr=silent) == 0
