"""How is a tool (venv, pip) run, watched, and understood when it fails?

A tool writes to one log file, from which its progress is read and, if it fails, the
cause. Knows nothing of what is set up with it.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from launcher.done import read_stamp
from launcher.interpreter import dotted, platform_tag
from launcher.places import LOG, ROOT, VENV, pin_lines
from launcher.words import Progress, Stop

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DISK_FULL = (
    "the disk is full: free about 2 GB, in this folder and in the one for temporary "
    "files, then start again."
)
IN_USE = (
    "a file in .venv is in use, or may not be changed: close JupyterLab and whatever "
    "else runs from there, then start again."
)
NETWORK = (
    "the package index cannot be reached: check the network (behind a proxy, set "
    "HTTPS_PROXY), or set up from a folder that `python3 run.py pack FOLDER` wrote on "
    "another computer."
)
CERTIFICATE = (
    "the package index shows a certificate that is not trusted here: name your "
    "organisation's certificate file in the variable PIP_CERT, then start again."
)
LONG_PATH = (
    "the path of this folder is too long for Windows: move the course up, for example "
    "to C:\\course."
)
CAUSES = {
    r"No space left on device|not enough space on the disk|Disk quota": DISK_FULL,
    r"Long Path support": LONG_PATH,
    r"CERTIFICATE_VERIFY_FAILED|SSLError": CERTIFICATE,
    r"establish a new connection|NewConnectionError|ProxyError|getaddrinfo failed|"
    r"[Nn]ame resolution|Connection refused|Network is unreachable|[Tt]imed out|"
    r"ConnectTimeout|Connection aborted|Connection broken": NETWORK,
    r"Permission denied|Access is denied|used by another process": IN_USE,
}
LEADING_ASTRAY = {
    "PYTHONHOME",
    "PYTHONPATH",
    "__PYVENV_LAUNCHER__",
    "PIP_TARGET",
    "PIP_PREFIX",
}


class Workshop(NamedTuple):
    """What every tool is started with."""

    lock: int
    """The lock's file descriptor, which the tool inherits."""
    pack: Path | None
    """The folder that takes the place of the network."""

    def start(self, command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
        """Start a tool that writes to a file descriptor and reads nothing."""
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=tool_environment(self.pack),
            pass_fds=() if os.name == "nt" else (self.lock,),
        )


def tool_environment(pack: Path | None) -> dict[str, str]:
    """Keep the user's settings (mirrors, proxies), but not what leads out of .venv."""
    environment = dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")
    environment["PYTHONIOENCODING"] = "utf-8:backslashreplace"
    if pack:
        environment["PIP_NO_INDEX"] = "1"
        # As a URI, because pip splits this variable at spaces.
        environment["PIP_FIND_LINKS"] = (pack / "wheels").resolve().as_uri()
    for name in LEADING_ASTRAY & environment.keys():
        del environment[name]
    return environment


def run_tool(
    command: Sequence[str], workshop: Workshop, progress: Callable[[], str]
) -> None:
    """Run a tool to its end, showing one line of progress; raises Stop if it fails."""
    line = Progress()
    with LOG.open("wb") as log:
        process = workshop.start(command, log.fileno())
        try:
            while is_running(process):
                line.show(progress())
        finally:
            process.kill()
            process.wait()
            line.close()
    if process.returncode:
        raise Stop(explain(last_words()))


def run_aloud(command: Sequence[str], workshop: Workshop) -> int:
    """Run a tool that speaks for itself, on our stderr; returns its exit status."""
    process = workshop.start(command, sys.stderr.fileno())
    try:
        return process.wait()
    finally:
        process.kill()
        process.wait()


def is_running(process: subprocess.Popen[bytes]) -> bool:
    """Wait a moment for the process to end, and tell whether it still runs."""
    try:
        process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return True
    return False


def last_words() -> str:
    """Read what the tool that runs now, or the last one, has said so far."""
    return LOG.read_text(encoding="utf-8", errors="replace")


def pip_progress(*files: str) -> str:
    """Tell how far pip is with some requirements files, from what it said so far."""
    said = last_words()
    total = len(pin_lines(*files)) - said.count("Ignoring ")  # for other platforms
    if "Installing collected packages" in said:
        lib = "Lib" if os.name == "nt" else "lib/python*"
        unpacked = sum(1 for _ in VENV.glob(lib + "/site-packages/*.dist-info"))
        return f"unpacking packages: {min(unpacked, total)} of {total}"
    line = r"^(?:Collecting|Processing|Requirement already satisfied:) (\S+)"
    seen = re.findall(line, said, re.MULTILINE)
    if not seen or "Retrying (" in said.rpartition("Collecting ")[2]:
        return "waiting for the package index"
    fetched = min(len(seen), total)
    return f"fetching packages: {fetched} of {total}  {Path(seen[-1]).name}"


def explain(said: str) -> str:
    """Turn what a tool said when it failed into one sentence."""
    for pattern, sentence in CAUSES.items():
        if re.search(pattern, said):
            return sentence
    missing = re.search(r"No matching distribution found for (\S+)", said)
    # Told not to try again, pip calls an index that does not answer an empty one.
    if missing and "(from versions: none)" in said and "Collecting " not in said:
        return NETWORK
    if missing:
        return (
            f"there is no ready-made {missing.group(1)} for Python "
            f"{dotted(read_stamp().get('version', ()))} on {platform_tag()}: README.md "
            f"lists the platforms that work."
        )
    lines = said.strip().splitlines() or ["(nothing)"]
    return f"the set-up failed ({LOG} holds all of it) with the words: {lines[-1]}"


def explain_refusal(error: OSError) -> str:
    """Turn what the operating system refused into one sentence."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DISK_FULL
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return (
            f"{error.filename or ROOT} may not be written: copy the course to a folder "
            f"of your own and start it there."
        )
    return f"{error}."
