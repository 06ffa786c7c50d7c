"""The record that a conversion leaves in its model folder, and whether all is there.

Standard library only, and read by `run.py` before anything is installed. Knows nothing
of how a model is converted.
"""

from __future__ import annotations

import json
from pathlib import Path

VERSION = 1
"""Raised when a converted folder changes, so that older ones are made again."""

RECORD_FILE = "conversion.json"


def is_whole(folder: Path, **wanted: str) -> bool:
    """Is `folder` complete, and made by this version of the converter?

    Args:
        folder: a model folder, which need not be there.
        wanted: what its record must say besides, such as `gguf_sha256="…"`.
    """
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        found = {name: (folder / name).stat().st_size for name in record["bytes"]}
        wanted_record = {**record, **wanted, "version": VERSION, "bytes": found}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return bool(record == wanted_record)
