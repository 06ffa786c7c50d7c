"""What repo2docker would do with binder/, done in a clean virtual environment."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from traitlets.config import Config
from traitlets.config.loader import PyFileConfigLoader

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


# --- a JupyterHub of one's own --------------------------------------------------------
HUB = BINDER / "hub"
on_linux = pytest.mark.skipif(sys.platform == "win32", reason="a hub runs on Linux")


def read_by_jupyterhub() -> Config:
    """Return what a JupyterHub makes of course.py, The Littlest one among them."""
    config: Config = PyFileConfigLoader("course.py", path=str(HUB)).load_config()
    return config


def read_by_the_chart() -> Config:
    """Return what Zero to JupyterHub makes of it: its `get_config` wants a key."""
    config = Config()
    chart = {"c": config, "get_config": lambda key, default=None: (key, default)}
    exec((HUB / "course.py").read_text("utf-8"), chart)  # noqa: S102 - ours
    return config


@pytest.mark.parametrize("read", [read_by_jupyterhub, read_by_the_chart])
def test_every_hub_starts_the_server_of_the_course_on_its_start_page(
    read: Callable[[], Config],
) -> None:
    spawner = read().Spawner
    assert spawner.cmd == ["/opt/llm_walkthrough/binder/hub/server"]
    page = spawner.default_url.removeprefix("/lab/tree/my_course/")
    assert (ROOT / "notebooks" / page).is_file()
    assert spawner.mem_guarantee == "400M"
    assert spawner.mem_limit == "2G"


def test_the_image_has_the_python_of_binder_and_a_pinned_hub() -> None:
    image = (HUB / "Dockerfile").read_text()
    python = (BINDER / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"\nARG PYTHON={python}\n" in image
    assert re.search(r"jupyterhub==5\.[\d.]+\n", image)


def test_the_chart_leaves_to_course_py_what_stands_there() -> None:
    learner = yaml.safe_load((HUB / "values.yaml").read_text())["singleuser"]
    assert learner["memory"] == {"guarantee": None}
    assert not {"cmd", "defaultUrl", "extraEnv"} & learner.keys()


@on_linux
@pytest.mark.parametrize("name", ["install", "server", "tljh"])
def test_a_script_of_the_hub_can_be_started(name: str) -> None:
    subprocess.run(["/bin/sh", "-n", HUB / name], check=True)
    assert os.access(HUB / name, os.X_OK)


@on_linux
def test_a_server_begins_with_the_learners_own_copies(tmp_path: Path) -> None:
    home, commands = tmp_path / "home", tmp_path / "bin"
    home.mkdir()
    commands.mkdir()
    stand_in = commands / "jupyterhub-singleuser"
    stand_in.write_text('#!/bin/sh\necho "$PWD $JUPYTER_RUNTIME_DIR $*"\n')
    stand_in.chmod(0o755)
    path = f"{commands}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    settings = {**os.environ, "HOME": str(home), "PATH": path, "TMPDIR": str(tmp_path)}
    said = ""
    for _ in range(2):  # the second start finds everything there
        said = subprocess.check_output([HUB / "server", "--x"], env=settings, text=True)
    place, sockets, *words = said.split()
    assert place == str(home)
    assert words == ["--KernelManager.transport=ipc", "--x"]
    assert Path(sockets).stat().st_mode & 0o777 == 0o700
    assert (home / "my_course" / "start.ipynb").is_file()
    assert (home / "llm_walkthrough" / "sampling.py").samefile(
        ROOT / "llm_walkthrough" / "sampling.py"
    )


@pytest.mark.model
@on_linux
def test_a_session_has_the_models_and_needs_no_network(tmp_path: Path) -> None:
    course, environment = tmp_path / "course", tmp_path / "environment"
    shutil.copytree(ROOT, course, ignore=NOT_IN_GIT)
    venv.create(environment, with_pip=True)
    settings = {**os.environ, "PATH": f"{environment / 'bin'}:{os.environ['PATH']}"}
    settings["PIP_COMPILE"] = "0"  # most of what is installed is never imported
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
