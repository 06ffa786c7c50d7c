"""How is everything that a job needs brought into being?

A .venv, the pinned packages in it, the models; each is skipped if it is there, and each
can be cut off at any point without harm to the next start.
"""

from __future__ import annotations

import json
import shutil
import subprocess
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
from launcher.pack import find_pack
from launcher.places import LOCK, PINS, PYTHON, ROOT, TEST_PINS, VENV, models_folder
from launcher.tools import IN_USE, Workshop, pip_progress, run_aloud, run_tool
from launcher.words import Stop, say

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

GB = 10**9
QUESTION = """
import json, os, pip, sys
base = sys._base_executable
facts = {"base": base, "real": os.path.realpath(base), "version": sys.version_info[:2]}
print(json.dumps(facts))
"""


def set_up(needs: Needs) -> None:
    """Do what is not done yet; takes no lock and writes nothing if everything is."""
    if has_packages(needs) and not missing_models(needs):
        return
    is_foreign = VENV.joinpath("pyvenv.cfg").exists() and not LOCK.exists()
    with only_one() as lock:
        workshop = Workshop(lock, find_pack())
        if not has_packages(needs):
            prepare_venv(workshop, may_adopt=is_foreign)
            install(needs, workshop)
        if missing_models(needs):
            fetch(missing_models(needs), workshop)


def prepare_venv(workshop: Workshop, *, may_adopt: bool) -> None:
    """Leave a .venv that works: the one that is there, or a new one.

    Args:
        workshop: what tools are started with.
        may_adopt: the .venv is not one of ours that was cut off, so that it can be
            trusted if its Python works.
    """
    if is_sound(read_stamp()):
        return
    facts = interpreter_facts() if may_adopt else {}
    if not facts or unsupported(tuple(facts["version"]), platform_tag()):
        require_python()
        require_space(ROOT, gigabytes=1.5)
        clear_venv()
        make_venv(workshop)
        facts = interpreter_facts()
    if not facts:
        raise Stop("the new .venv does not start: get a Python from python.org.")
    write_stamp({"root": str(ROOT), **facts, "installed": {}})


def make_venv(workshop: Workshop) -> None:
    """Make an empty .venv from the interpreter that stands behind this one."""
    say(f"Making .venv with Python {dotted(sys.version_info[:3])}.")
    base = getattr(sys, "_base_executable", None) or sys.executable
    run_tool(
        [base, "-m", "venv", str(VENV)], workshop, lambda: "copying pip into .venv"
    )


def interpreter_facts() -> dict[str, Any]:
    """Ask .venv's Python what it is and where it comes from; empty if it fails."""
    command = [str(PYTHON), "-I", "-c", QUESTION]
    try:
        answer = subprocess.check_output(command, stderr=subprocess.DEVNULL)
    except (OSError, subprocess.CalledProcessError):
        return {}
    facts: dict[str, Any] = json.loads(answer)
    return facts


def clear_venv() -> None:
    """Empty .venv, except for the lock that we hold."""
    try:
        for entry in VENV.iterdir():
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != LOCK:
                entry.unlink()
    except PermissionError as error:
        raise Stop(IN_USE) from error


def install(needs: Needs, workshop: Workshop) -> None:
    """Install the pins and the package itself into .venv."""
    stamp = read_stamp()
    write_stamp({**stamp, "installed": None})
    say("Installing the packages into .venv.")
    files = [PINS, TEST_PINS] if needs.tests else [PINS]
    install_pins(files, workshop)
    # Linked to this folder, so that an edit counts at once. Its build needs setuptools,
    # which is pinned, and so no network.
    link = ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]
    run_tool(pip("install", *link), workshop, lambda: "linking the package")
    write_stamp({**stamp, "installed": {**stamp["installed"], **wanted(needs)}})


def install_pins(files: list[str], workshop: Workshop) -> None:
    """Install what some requirements files pin.

    The pins are complete and all have wheels: pip need neither look for dependencies
    nor ever start a compiler.
    """
    pins = [word for name in files for word in ("-r", str(ROOT / name))]
    command = pip("install", "--no-deps", "--only-binary=:all:", *pins)
    run_tool(command, workshop, lambda: pip_progress(*files))


def pip(*words: str) -> list[str]:
    """Write a command for the pip in .venv, which may change nothing outside."""
    return [str(PYTHON), "-u", "-m", "pip", "--require-virtualenv", *words]


def fetch(models: list[str], workshop: Workshop) -> None:
    """Fetch and convert models, which shows its progress and says its own errors."""
    require_space(models_folder(), gigabytes=1.0)
    cli = [str(PYTHON), "-P", "-m", "llm_walkthrough.command_line.cli"]
    if run_aloud([*cli, "models", "fetch", *models], workshop):
        raise Stop("the model was not made, for the reason above.")


def require_space(folder: Path, gigabytes: float) -> None:
    """Stop before the work starts if the disk cannot hold what it makes."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(str(folder)).free / GB
    if free < gigabytes:
        raise Stop(
            f"the disk of {folder} has {free:.1f} GB left, and {gigabytes} GB are "
            f"needed: free some space, then start again."
        )
