"""After a kill at a random moment, the next start is right; `KILLS=200` for many."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from fake_course import Course
from tiny_gguf import write_tiny_gguf
from tiny_wheel import MEMBER, REQUIREMENT, write_tiny_wheel

from llm_walkthrough import catalogue
from llm_walkthrough.conversion.record import sha256

KILLS = int(os.environ.get("KILLS", "5"))
DICE = random.Random(int(os.environ.get("FUZZ_SEED", "0")))  # noqa: S311 - no secret
FETCH = """
import sys
from pathlib import Path
from llm_walkthrough import catalogue
import llm_walkthrough.conversion.convert
catalogue.REPOSITORY_MODELS = Path(sys.argv[1])
print("begin", flush=True)
catalogue.fetch("tiny")
"""


def kill_after(process: subprocess.Popen[str], seconds: float) -> str:
    """Kill a process, or all that it has started as well; tells which, and when."""
    time.sleep(seconds)
    inner = psutil.Process(process.pid)
    begun = inner.children(recursive=True) if DICE.random() < 0.5 else []
    for one in (inner, *begun):
        if one.is_running():
            one.kill()
    process.communicate()
    return f"killed after {seconds:.3f} s, with {len(begun)} others"


def test_after_a_killed_set_up_the_next_start_sets_all_up(tmp_path: Path) -> None:
    fresh = Course(tmp_path / "fresh")
    usual = fresh.copy(tmp_path / "usual")
    began = time.monotonic()
    usual.run("ask")
    whole, seconds = tree(usual.folder), time.monotonic() - began
    for _ in range(KILLS):
        course = fresh.copy(tmp_path / "killed")
        for _ in range(DICE.choice((1, 1, 2))):
            how = kill_after(course.start("ask"), DICE.uniform(0, seconds))
        done = course.run("ask")
        assert (done.returncode, done.stderr.count("Traceback")) == (0, 0), how
        assert done.stdout.splitlines()[-1] == "the command line has ['ask']", how
        assert tree(course.folder) == whole, how
        calls = len(course.calls())
        assert course.run("ask").returncode == 0
        assert len(course.calls()) == calls, how  # all is there: nothing is done anew
        shutil.rmtree(course.folder)


def tree(folder: Path) -> set[str]:
    """Name all files, but for notes: of the stand-ins, and on what was compared."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    notes = ("__pycache__", ".calls", ".links", "verified.json")
    return {name for name in names if not any(note in name for note in notes)}


def test_after_a_killed_fetch_the_next_one_makes_the_same_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf")
    wheel = write_tiny_wheel(tmp_path / "wheels", gguf.read_bytes())
    models = tmp_path / "models"
    monkeypatch.setenv("LLM_WALKTHROUGH_WHEELS", str(wheel.parent))
    monkeypatch.delenv("LLM_WALKTHROUGH_MODELS", raising=False)
    monkeypatch.setattr(catalogue, "REPOSITORY_MODELS", models)
    entry = {
        "name": "tiny",
        "short_name": "t",
        "title": "T",
        "licence": "MIT",
        "parameters": 1,
        "good_for": "tests",
        "download_bytes": 1,
        "cache_bytes": 1,
        "variants": ["int4"],
    }
    source = {
        "requirement": REQUIREMENT,
        "sha256": sha256(wheel),
        "file": MEMBER,
        "file_sha256": sha256(gguf),
    }
    entry_lines, source_lines = (
        "\n".join(f"{name} = {value!r}" for name, value in table.items())
        for table in (entry, source)
    )

    def renew() -> None:
        shutil.rmtree(models, ignore_errors=True)
        models.mkdir()
        (models / "catalogue.toml").write_text(
            f"[[model]]\n{entry_lines}\n[model.wheel]\n{source_lines}\n"
        )

    renew()
    began = time.monotonic()
    catalogue.fetch("tiny")
    whole, seconds = contents(models), time.monotonic() - began
    for _ in range(KILLS):
        renew()
        command = [sys.executable, "-c", FETCH, str(models)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        process.stdout.readline()  # all modules are loaded
        how = kill_after(process, DICE.uniform(0, seconds))
        assert catalogue.fetch("tiny") == catalogue.find("tiny"), how
        assert contents(models) == whole, how


def contents(folder: Path) -> dict[str, str]:
    """Hash all files but the note on when they were last compared."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        path.relative_to(folder).as_posix(): sha256(path)
        for path in files
        if path.name != "verified.json"
    }
