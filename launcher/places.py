"""The places of everything that a set-up reads and writes, and the models' names."""

from __future__ import annotations

import os
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "run.json"
"""What is done; written last."""
LOCK = VENV / "run.lock"
"""Held by the one start that sets up."""

PINS, TEST_PINS = "requirements.txt", "requirements-test.txt"
UV_PIN = "requirements-uv.txt"
CATALOGUE = ROOT / "models" / "catalogue.toml"
# whoever needs it finds out whether it is damaged
LISTED = CATALOGUE.read_text("utf-8", "replace") if CATALOGUE.is_file() else ""
MODEL = "".join(re.findall(r'^name = "([\w.-]+)"$', LISTED, re.MULTILINE)[:1])
MODEL_WHEELS = set(re.findall(r'"([\w.-]+==[\w.-]+)"', LISTED))
INT4, FLOAT32 = f"{MODEL}-int4", f"{MODEL}-float32"


def existing(folder: Path) -> Path:
    """Find the nearest folder above that is there, perhaps `folder` itself."""
    while not folder.exists():
        folder = folder.parent
    return folder


def models_folder() -> Path:
    """Tell where the models stand."""
    named = os.environ.get("LLM_WALKTHROUGH_MODELS")
    return Path(named).expanduser() if named else ROOT / "models"
