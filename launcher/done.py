"""What is done already, so that this start can skip it.

Reads a note in .venv and looks whether files are there; starts nothing, so that a start
with nothing to do costs nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, NamedTuple

from launcher.places import PINS, PYTHON, ROOT, STAMP, TEST_PINS, models_folder
from llm_walkthrough.conversion.record import trouble

if TYPE_CHECKING:
    from typing import Any


class Needs(NamedTuple):
    """What must be there before a job can begin."""

    models: tuple[str, ...] = ()
    tests: bool = False


def wanted(needs: Needs) -> dict[str, str]:
    """Tell what must have been installed: a hash for each set of packages."""
    packages = {"run": digest(PINS, "pyproject.toml")}
    if needs.tests:
        packages["test"] = digest(TEST_PINS)
    return packages


def digest(*names: str) -> str:
    """Hash some of our text files, whatever line ends a checkout gave them."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def read_stamp() -> dict[str, Any]:
    """Read what the last set-up noted; empty if it did not get that far."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    is_ours = isinstance(stamp, dict) and isinstance(stamp.get("version", []), list)
    return stamp if is_ours else {}


def write_stamp(stamp: dict[str, Any]) -> None:
    """Note what is done, in one stroke: a reader finds the old note or the new one."""
    new = STAMP.with_suffix(".new")
    new.write_text(json.dumps(stamp, indent=1), encoding="utf-8")
    new.replace(STAMP)


def is_sound(stamp: dict[str, Any]) -> bool:
    """Tell whether .venv was finished, here, by an interpreter that is still there.

    `installed` is None while packages are installed: whoever finds None comes after a
    start that was killed, and cannot know which packages are whole.
    """
    base, real = str(stamp.get("base")), str(stamp.get("real"))
    return (
        stamp.get("root") == str(ROOT)
        and isinstance(stamp.get("installed"), dict)
        and PYTHON.exists()
        and os.path.exists(base)  # noqa: PTH110 - Path refuses what can be no path
        and os.path.realpath(base) == real
    )


def has_packages(needs: Needs) -> bool:
    """Tell whether .venv holds what the job needs."""
    stamp = read_stamp()
    return is_sound(stamp) and wanted(needs).items() <= stamp["installed"].items()


def missing_models(needs: Needs) -> list[str]:
    """Name the models that the job needs and that are not there yet."""
    return [name for name in needs.models if trouble(models_folder() / name)]
