"""The loop of notebook 10, as its own cells make it, for tests with the real model."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[1] / "notebooks" / "10_mend_it.ipynb"
CELLS = ("imports", "open", "run", "choose", "decode", "other")


@cache
def names_of(variant: str) -> dict[str, Any]:
    """Execute the cells that make the loop; return the names that they define."""
    cells = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    sources = {cell["id"]: "".join(cell["source"]) for cell in cells}
    names: dict[str, Any] = {}
    for cell in CELLS:
        source = sources[cell].replace('"float32"', f'"{variant}"')
        exec(compile(source, cell, "exec"), names)  # noqa: S102 - our own
    return names
