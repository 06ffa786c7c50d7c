"""The record that a conversion leaves in its model folder, and what differs from it.

Standard library only, since `run.py` reads it first. Knows nothing of conversion.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_walkthrough.guards.small_file import read_json

VERSION = 1
"""Raised when a converted folder changes, so that older ones are made again."""

RECORD_FILE = "conversion.json"
VERIFIED_FILE = "verified.json"
"""Size, time and hash of each file when that hash was last found right."""


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_record(folder: Path, **facts: object) -> None:
    """Write the record of a folder in which all is complete, with every file's hash."""
    files = [file for file in sorted(folder.iterdir()) if file.name != RECORD_FILE]
    hashes = {file.name: sha256(file) for file in files}
    record = {"version": VERSION, **facts, "sha256": hashes}
    text = json.dumps(record, indent=2, ensure_ascii=False)
    (folder / RECORD_FILE).write_text(text + "\n", encoding="utf-8")
    _note(folder, _stamps(folder, hashes))


def trouble(folder: Path, *, anew: bool = False, **wanted: str) -> str:
    """Say what is wrong with a folder, as in "model.onnx is damaged"; "" for nothing.

    A file is hashed, at 500 MB a second, if its size or time has changed since it was
    last right, or `anew`. `wanted` stands in the record, such as `gguf_sha256="…"`.
    """
    try:
        record = read_json(folder / RECORD_FILE)
        maker = {} if record.get("is_as_published") else {"version": VERSION}
        if {**record, **wanted, **maker} != record:
            return "it was made from another file or by another version"
        hashes, verified = record["sha256"], _verified(folder)
        stamps, known = _stamps(folder, hashes), {} if anew else verified
        for name, sha in hashes.items():
            if name not in stamps:
                return f"{name} is missing"
            if known.get(name) != stamps[name] and sha256(folder / name) != sha:
                return f"{name} is damaged"
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        return f"{RECORD_FILE} is of no use ({type(error).__name__}: {error})"
    if verified != stamps:
        _note(folder, stamps)
    return ""


def _stamps(folder: Path, hashes: dict[str, str]) -> dict[str, list[object]]:
    """Return bytes, time in nanoseconds and wanted hash of the files that are there."""
    there = [name for name in hashes if (folder / name).is_file()]
    found = [(name, (folder / name).stat()) for name in there]
    return {name: [it.st_size, it.st_mtime_ns, hashes[name]] for name, it in found}


def _verified(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError, TypeError):
        return read_json(folder / VERIFIED_FILE)
    return {}


def _note(folder: Path, stamps: dict[str, list[object]]) -> None:
    """Keep what was found right; where nobody may write, it is found again."""
    scratch = folder / f"{VERIFIED_FILE}.{os.getpid()}"
    with suppress(OSError):
        scratch.write_text(json.dumps(stamps), encoding="utf-8")
        scratch.replace(folder / VERIFIED_FILE)
