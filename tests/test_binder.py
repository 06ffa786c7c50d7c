"""What repo2docker would do with binder/, done in a clean virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BINDER = ROOT / "binder"
NOT_IN_GIT = shutil.ignore_patterns(
    ".*",
    "__pycache__",
    "*.egg-info",
    "build",
    "dist",
    "my_course",
    "*.gguf",
    "smollm2-*",
)


def test_the_python_is_one_that_the_package_supports() -> None:
    named = re.fullmatch(r"python-3\.(\d+)\n", (BINDER / "runtime.txt").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    oldest = int(project["project"]["requires-python"].removeprefix(">=3."))
    assert named is not None
    assert oldest <= int(named.group(1)) <= 14  # the newest that repo2docker has


def test_the_pins_are_those_of_the_course() -> None:
    lines = (BINDER / "requirements.txt").read_text().splitlines()
    assert "-r ../requirements.txt" in lines
    own = [line for line in lines if not line.startswith(("#", "-r"))]
    assert all("==" in line for line in own)


def test_post_build_can_be_started_on_linux() -> None:
    script = (BINDER / "postBuild").read_bytes()
    assert script.startswith(b"#!/usr/bin/env bash\n")
    assert b"\r" not in script


@pytest.mark.model
@pytest.mark.skipif(sys.platform == "win32", reason="the image runs Linux")
def test_a_session_has_the_models_and_needs_no_network(tmp_path: Path) -> None:
    course, environment = tmp_path / "course", tmp_path / "environment"
    shutil.copytree(ROOT, course, ignore=NOT_IN_GIT)
    venv.create(environment, with_pip=True)
    settings = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    for unwanted in ("LLM_WALKTHROUGH_MODELS", "PYTHONPATH", "VIRTUAL_ENV"):
        settings.pop(unwanted, None)

    def do(*command: str, **further: str) -> str:
        """Run a command as the build, or a session, does: in the repository."""
        done = subprocess.run(
            command,
            cwd=course,
            env={**settings, **further},
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    do("pip", "install", "--requirement", "binder/requirements.txt")
    built = do("binder/postBuild")
    assert "int4 41 tokens in the prompt\nfloat32 41 tokens in the prompt\n" in built
    assert not list(course.glob("models/*.gguf"))

    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    asked = ("llm-walkthrough", "ask", "--temperature", "0", "Say hello.")
    assert do(*asked, PIP_NO_INDEX="1", **nowhere)
    do("pip", "check")
