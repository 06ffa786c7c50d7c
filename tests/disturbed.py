"""A plugin for pytest: the kernels that nbval starts disturb all logits.

Loaded by `python -m pytest -p tests.disturbed --nbval …`. What is compared then holds
on another processor as well; one run proves that and what nbval always proves.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

HANDICAP = Path(__file__).with_name("handicap.py")


def pytest_configure(config: pytest.Config) -> None:
    """Give IPython a folder whose profile runs `handicap.py` before the first cell."""
    folder = Path(tempfile.mkdtemp())
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    startup = folder / "profile_default" / "startup"
    startup.mkdir(parents=True)
    shutil.copy(HANDICAP, startup / "00-handicap.py")
    os.environ["IPYTHONDIR"] = str(folder)
    os.environ["LLM_WALKTHROUGH_PACKED"] = "off"  # nothing is made meanwhile
