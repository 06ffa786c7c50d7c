"""A copy of run.py in a folder of its own, with a pip that only notes what it is asked.

The .venv is real but empty; the stand-in for the command line prints its words. So a
whole set-up takes a fraction of a second and needs no network.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = (
    "run.py",
    "requirements.txt",
    "requirements-test.txt",
    "pyproject.toml",
    "models/catalogue.toml",
    "llm_walkthrough/conversion/record.py",
)

START = """\
import os, subprocess, sys, launcher.prepare, launcher.places as places
from pathlib import Path

def make_empty_venv(workshop):
    launcher.prepare.say("Making .venv.")
    if os.name == "nt":
        venv = [sys.executable, "-m", "venv", "--without-pip", str(places.VENV)]
        subprocess.run(venv, check=True)
        packages = places.VENV / "Lib" / "site-packages"
    else:  # what that command makes, in a fraction of its time
        base = Path(sys._base_executable)
        (places.VENV / "pyvenv.cfg").write_text(f"home = {base.parent}")
        places.PYTHON.parent.mkdir()
        places.PYTHON.symlink_to(base)
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        packages = places.VENV / "lib" / version / "site-packages"
        packages.mkdir(parents=True)
    (packages / "pip").mkdir()
    (packages / "pip" / "__init__.py").touch()
    fake = Path("fake_pip.py").read_text(encoding="utf-8")
    (packages / "pip" / "__main__.py").write_text(fake, encoding="utf-8")

launcher.prepare.make_venv = make_empty_venv
import run
sys.exit(run.main(sys.argv[1:]))
"""

PIP = """\
import json, os, sys, time
from pathlib import Path

words = sys.argv[1:]
environment = {key: value for key, value in os.environ.items() if key[:4] == "PIP_"}
with open(".pip_cache", "a", encoding="utf-8") as calls:
    calls.write(json.dumps({"words": words, "environment": environment}) + "\\n")
while Path("hold-pip").exists():
    time.sleep(0.01)
if Path("break-pip").exists():
    print(Path("break-pip").read_text(encoding="utf-8"))
    sys.exit(1)
if "download" in words:
    folder = Path(words[words.index("--dest") + 1])
    (folder / "numpy-1-py3-none-any.whl").write_text("a wheel", encoding="utf-8")
if "--editable" in words:
    package = Path(__file__).parent.parent / "llm_walkthrough"
    (package / "command_line").mkdir(parents=True, exist_ok=True)
    cli = Path("fake_cli.py").read_text(encoding="utf-8")
    (package / "command_line" / "cli.py").write_text(cli)
"""

CLI = """\
import json, os, sys
from pathlib import Path

words = sys.argv[1:]
if words[:2] == ["models", "fetch"]:
    for name in words[2:]:
        folder = Path(os.environ.get("LLM_WALKTHROUGH_MODELS", "models"), name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_text("a graph")
        record = {"version": 1, "bytes": {"model.onnx": 7}}
        (folder / "conversion.json").write_text(json.dumps(record))
    sys.exit()
print("the command line has", words)
sys.exit(7 if words == ["fail"] else 0)
"""


class Course:
    """A copy of the course in which `run.py` can be started; made if need be."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if folder.exists():
            return
        shutil.copytree(
            REPOSITORY / "launcher",
            folder / "launcher",
            ignore=shutil.ignore_patterns("__pycache__"),
        )
        for name in FILES:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(REPOSITORY / name, folder / name)
        for name, text in (("start", START), ("fake_pip", PIP), ("fake_cli", CLI)):
            self.write(f"{name}.py", text)

    def copy(self, folder: Path) -> Course:
        """Copy a course as it is now, as if it had been set up in `folder`."""
        shutil.copytree(self.folder, folder, symlinks=True)
        stamp = folder / ".venv" / "run.json"
        if stamp.exists():
            facts = json.loads(stamp.read_text("utf-8"))
            stamp.write_text(json.dumps({**facts, "root": str(folder)}), "utf-8")
        return Course(folder)

    @property
    def venv(self) -> Path:
        return self.folder / ".venv"

    def write(self, name: str, text: str) -> Path:
        (self.folder / name).write_text(text, encoding="utf-8")
        return self.folder / name

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("LLM_WALKTHROUGH", "PIP_"))
        }
        return subprocess.Popen(
            [sys.executable, "-S", "start.py", *words],
            cwd=self.folder,
            env=inherited | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*words, **environment)
        out, err = process.communicate(timeout=30)
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def pip_calls(self) -> list[dict[str, Any]]:
        path = self.folder / ".pip_cache"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def wait_for_pip(self) -> None:
        deadline = time.monotonic() + 20
        while not self.pip_calls():
            assert time.monotonic() < deadline, "pip was not started"
            time.sleep(0.01)
