"""The folder that takes the place of the network for a class: how it is read.

Such a pack holds wheels for one kind of computer, the models' wheels among them. Knows
nothing of how a pack is written: `tools/pack.py` does that.
"""

from __future__ import annotations

import hashlib
import json
import os
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


def pack_facts() -> dict[str, Any]:
    """Tell for which computers and which pins a pack that is made here is good."""
    version = read_stamp().get("version") or sys.version_info[:2]
    return {
        "Python": dotted(version),
        "platform": platform_tag(),
        "pins": digest(UV_PIN, PINS, TEST_PINS),
    }


def find_pack() -> Path | None:
    """Find the pack that is named, or one that stands in, beside or around the course.

    Raises Stop if it was damaged, or is for other computers than this one.
    """
    named = os.environ.get("LLM_WALKTHROUGH_PACK")
    beside = [ROOT / PACK_NAME, ROOT.parent / PACK_NAME, ROOT.parent]
    for folder in [Path(named)] if named else beside:
        if (folder / FACTS).is_file():  # written last: the pack is finished
            say(f"Checking the pack in {folder}.")
            require_fit(folder)
            require_whole(folder)
            return folder
    if named:
        raise Stop(f"{named} is no pack: `python3 run.py pack FOLDER` writes one.")
    return None


def require_fit(folder: Path) -> None:
    """Stop unless the pack was made for such a computer and such pins."""
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    for name, here in pack_facts().items():
        if facts[name] != here:
            raise Stop(
                f"the pack in {folder} is for {name} {facts[name]}, here it is {here}: "
                f"write one here with `python3 run.py pack FOLDER`, or move that one "
                f"away to use the network."
            )


def require_whole(folder: Path) -> None:
    """Stop unless the wheels are exactly those that were written."""
    lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    sums = {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines)}
    found = {f"wheels/{wheel.name}" for wheel in folder.glob("wheels/*.whl")}
    for name in sorted(found | sums.keys()):
        if name not in found or file_digest(folder / name) != sums.get(name):
            raise Stop(
                f"{name} in the pack {folder} is damaged or missing: copy the pack "
                f"again."
            )


def file_digest(path: Path) -> str:
    """Hash a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
