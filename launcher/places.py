"""Where is everything that a set-up reads and writes?"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "run.json"
"""What is done; written last."""
LOCK = VENV / "run.lock"
"""Held by the one start that sets up."""
LOG = VENV / "run.log"
"""What the tool that ran last has said."""

PINS, TEST_PINS = "requirements.txt", "requirements-test.txt"
INT4 = "smollm2-135m-instruct-int4"
FLOAT32 = "smollm2-135m-instruct-float32"


def models_folder() -> Path:
    """Tell where the models stand."""
    named = os.environ.get("LLM_WALKTHROUGH_MODELS")
    return Path(named).expanduser() if named else ROOT / "models"


def pin_lines(*names: str) -> list[str]:
    """Read the lines of requirements files that pin a package."""
    texts = [(ROOT / name).read_text(encoding="utf-8") for name in names]
    return [line for text in texts for line in text.splitlines() if "==" in line]
