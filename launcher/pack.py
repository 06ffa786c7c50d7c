"""The folder that takes the place of the network for a class: how it is read.

Such a pack holds wheels for one kind of computer, the models' wheels among them. Knows
nothing of how a pack is written: `tools/pack.py` does that.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from launcher.done import digest, read_stamp
from launcher.interpreter import dotted, platform_tag
from launcher.places import PINS, ROOT, TEST_PINS, UV_PIN
from launcher.words import Stop, say

if TYPE_CHECKING:
    from typing import Any

PACK_NAME = "llm-walkthrough-pack"
FACTS, SUMS = "pack.json", "SHA256SUMS"
# what systems and Python leave behind is neither written nor checked
UNLISTED = re.compile(
    r"(^|/)(\.venv/|__pycache__/|\._|\.DS_Store$|Thumbs\.db$|desktop\.ini$)"
)


def pack_facts() -> dict[str, Any]:
    """Tell for which computers and which pins a pack that is made here is good."""
    version = read_stamp().get("version") or sys.version_info[:2]
    return {
        "Python": dotted(version),
        "platform": platform_tag(),
        "pins": digest(UV_PIN, PINS, TEST_PINS),
    }


def find_wheels() -> dict[str, str]:
    """Find the pack that is named, or one that stands in, beside or around the course.

    Returns its wheels, `numpy==2.3.5` to a name and a file; none if there is no pack.
    Raises Stop if it was damaged, or is for other computers than this one.
    """
    named = os.environ.get("LLM_WALKTHROUGH_PACK")
    beside = [ROOT / PACK_NAME, ROOT.parent / PACK_NAME, ROOT.parent]
    for folder in [Path(named).resolve()] if named else beside:
        if (folder / FACTS).is_file():  # written last: the pack is finished
            say(f"Checking the pack in {folder}.")
            wheels = whole_wheels(folder)
            require_fit(folder)
            return dict(map(with_file, wheels))
    if named:
        raise Stop(f"{named} is not a pack: `python3 run.py pack FOLDER` writes one.")
    return {}


def whole_wheels(folder: Path) -> list[Path]:
    """List the wheels; raises Stop unless the files are exactly those written.

    A course that was set up from inside its pack is its learner's from then on.
    """
    sums, is_in_use = {SUMS: ""}, folder / "course" == ROOT and read_stamp()
    with contextlib.suppress(OSError, ValueError):  # what is not read is missing
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
        pairs = [line.split("  ", 1) for line in lines]
        sums = {name: sha256 for sha256, name in pairs}
    found = files_in(folder)
    for name in sorted(found | sums.keys()):
        is_whole = name in found and file_digest(folder / name) == sums.get(name)
        if not is_whole and not (is_in_use and name.startswith("course/")):
            raise Stop(
                f"{name} in the pack {folder} is damaged, missing or not part of it: "
                f"copy the pack again, into a new folder."
            )
    return [folder / name for name in sums if name.endswith(".whl")]


def require_fit(folder: Path) -> None:
    """Stop unless the pack was made for such a computer and such pins."""
    facts = {}
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        facts = dict(json.loads((folder / FACTS).read_text(encoding="utf-8")))
    for name, here in pack_facts().items():
        there = facts.get(name)
        if there != here:
            raise Stop(
                f"the pack in {folder} is for {name} {there}, but here it is {here}: "
                f"write one here with `python3 run.py pack FOLDER`, or move that one "
                f"away to use the network."
            )


def files_in(folder: Path) -> set[str]:
    """Name all that a pack holds, but for the sums."""
    every = (path for path in folder.rglob("*") if not path.is_dir())
    names = {path.relative_to(folder).as_posix() for path in every} - {SUMS}
    return {name for name in names if not UNLISTED.search(name)}


def with_file(wheel: Path) -> tuple[str, str]:
    """Tell which pin a wheel is, and that pin with the wheel's full name."""
    name, version = f"{wheel.name}-".split("-")[:2]
    name = re.sub(r"[-_.]+", "-", name).lower()
    return f"{name}=={version}", f"{name} @ {wheel.as_uri()}"


def file_digest(path: Path) -> str:
    """Hash a file; nothing for what only looks like one."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
