"""Small files of a model folder as text or JSON, or else refused in one sentence.

A folder may come from anybody: what is read is a file and no pipe, has a size that such
a file can have, and is not nested too deeply. Knows nothing of what stands in a file.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from llm_walkthrough.errors import FETCH_AGAIN, InputError

_POINTER = b"version https://git-lfs"
MOST_BYTES = 256_000_000  # the largest tokenizers take some 40 MB


def is_file(path: Path) -> bool:
    """Tell whether there is a file, and no folder, pipe or device; never raises."""
    return os.path.isfile(path)  # noqa: PTH113 - `Path.is_file` raises for odd names


def is_there(path: Path) -> bool:
    """Tell whether anything is there; never raises, as `is_file`."""
    return os.path.exists(path)  # noqa: PTH110 - likewise


def way_out(file: Path) -> str:
    """Say what helps where a file is not what it should be."""
    if is_file(file):  # a pipe would be waited for
        with suppress(OSError), file.open("rb") as stream:
            if stream.read(len(_POINTER)) == _POINTER:
                return "it is a Git LFS pointer: run `git lfs pull` in its folder"
    is_weights = file.suffix in {".onnx", ".data"}
    return FETCH_AGAIN if is_weights else f"mend it, or {FETCH_AGAIN}"


def from_home(path: str | Path) -> Path:
    """Return a path with "~" replaced, where that names a home; never raises."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - that of Path raises


def read_text(file: Path) -> str:
    """Read a file in UTF-8; InputError if it is none, too large, or not readable."""
    why: object = "it is no file"
    if is_file(file):
        try:
            size = file.stat().st_size
            if size <= MOST_BYTES:
                return file.read_text(encoding="utf-8")
            why = f"{size:,} bytes are more than such a file has"
        except (OSError, ValueError) as error:
            why = error
    raise InputError(f"{file} cannot be read ({why}); {way_out(file)}")


def read_json(file: Path) -> dict[str, Any]:
    """Read a file that holds one JSON object; InputError for anything else."""
    text = read_text(file)
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:  # too many "[" recurse
        what = f"{file} is not valid JSON ({error})"
        raise InputError(f"{what}; {way_out(file)}") from error
    if not isinstance(config, dict):
        what = f"{file} should hold a JSON object, not a {type(config).__name__}"
        raise InputError(f"{what}; {way_out(file)}")
    return config
