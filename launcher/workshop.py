"""The workshop: how venv, pip, uv and our command line are started, and why they fail.

A tool speaks for itself, on our stderr. Knows nothing of what is set up with it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, NamedTuple

from launcher.places import PYTHON, ROOT, VENV, existing
from launcher.words import Stop, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

DISK_FULL = (
    "the disk is full: free about 2 GB, in this folder and in the one for temporary "
    "files, then start again."
)
NETWORK = (
    "the package index cannot be reached: check the network (HTTPS_PROXY names a "
    "proxy, PIP_CERT your organisation's certificate file), or set up from a folder "
    "that `python3 run.py pack FOLDER` wrote on another computer."
)
CAUSES = {
    r"No space left on device|not enough space on the disk|Disk quota|"
    r"No usable temporary directory": DISK_FULL,
    r"establish a new connection|NewConnectionError|ProxyError|getaddrinfo failed|"
    r"[Nn]ame resolution|Connection refused|Network is unreachable|[Tt]imed out|"
    r"ConnectTimeout|Connection aborted|Connection broken|SSLError|"
    r"CERTIFICATE_VERIFY_FAILED": NETWORK,
}
LEADING_ASTRAY = {"PYTHONHOME", "PYTHONPATH", "__PYVENV_LAUNCHER__"}
LEADING_ASTRAY |= {"PIP_TARGET", "PIP_PREFIX", "UV_SYSTEM_PYTHON"}


class Workshop(NamedTuple):
    """What every tool is started with."""

    lock: int
    """The lock's file descriptor, which the tool inherits."""
    environment: dict[str, str]
    wheels: dict[str, str]
    """Those of a pack, which takes the place of the network; or else none."""

    @contextlib.contextmanager
    def start(
        self, command: Sequence[str], output: int, **settings: str
    ) -> Iterator[subprocess.Popen[str]]:
        """Start a tool that reads nothing, and end it with the `with` block."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**self.environment, **settings},
            pass_fds=() if os.name == "nt" else (self.lock,),
            encoding="utf-8",
            errors="replace",
        )
        try:
            yield process
        finally:
            process.kill()  # does nothing if it has ended by itself
            process.wait()

    def run(self, command: Sequence[str], **settings: str) -> int:
        """Run a tool, with further variables of its own; returns its exit status."""
        with self.start(command, sys.stderr.fileno(), **settings) as process:
            return process.wait()

    def check(self, command: Sequence[str]) -> None:
        """Run venv or pip; raises Stop if it fails, with the likely cause."""
        said = ""
        with self.start(command, subprocess.PIPE) as process:
            for line in process.stdout or ():
                sys.stderr.write(line)
                said += line
            if process.wait():
                raise Stop(explain(said))

    def ask(self, question: str) -> dict[str, Any]:
        """Let .venv's Python run a script that prints JSON; empty if it fails."""
        command = [str(PYTHON), "-I", "-c", question]
        silent = subprocess.DEVNULL
        try:
            said = subprocess.check_output(command, stderr=silent, env=self.environment)
        except (OSError, subprocess.CalledProcessError):
            return {}
        answer: dict[str, Any] = json.loads(said)
        return answer


def tool_environment(wheels: dict[str, str]) -> dict[str, str]:
    """Keep the user's settings (mirrors, proxies), but not what leads out of .venv."""
    environment = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    if wheels:
        environment["PIP_NO_INDEX"] = "1"
    for name in LEADING_ASTRAY & environment.keys():
        del environment[name]
    # setuptools takes a $name in a path for a variable: let it stand for itself
    for name in re.findall(r"\$([A-Za-z_]\w*)", str(ROOT)):
        environment.setdefault(name, f"${name}")
    return environment


def explain(said: str) -> str:
    """Turn what venv or pip said when it failed into one sentence."""
    for pattern, sentence in CAUSES.items():
        if re.search(pattern, said):
            return sentence
    if shutil.disk_usage(str(existing(VENV))).free < 10**7:
        return DISK_FULL  # too full for a tool to say so
    return (
        "the set-up failed, for the reason above; docs/platforms.md lists the "
        "platforms and Pythons that work."
    )


def in_one_sentence(job: Callable[[list[str]], int], arguments: list[str]) -> int:
    """Do a job; what stops it becomes one sentence. Returns the exit status."""
    try:
        return job(arguments)
    except Stop as stop:
        say(f"run.py: {stop}")
    except KeyboardInterrupt:
        say("run.py: stopped; the next start will carry on.")
        return 130
    except OSError as error:
        say(f"run.py: {explain_refusal(error)}")
    return 1


def explain_refusal(error: OSError) -> str:
    """Turn what the operating system refused into one sentence."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DISK_FULL
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{error.filename or ROOT} cannot be changed: close JupyterLab and "
            f"anything else that runs from .venv, or copy the course to a folder of "
            f"your own."
        )
    if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}:
        return f"{error.filename} is in the way: move it away, then start again."
    return f"{error}."
