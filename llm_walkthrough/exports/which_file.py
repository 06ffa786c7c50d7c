"""The `.onnx` file of a model folder that is meant, by name or by a rule.

A folder may hold one model in several precisions. Knows nothing of what is in a file.
"""

from __future__ import annotations

import os
from pathlib import Path

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file

STEMS = ("model", "decoder_model_merged")
PRECISIONS = ("", "_q4", "_quantized", "_int8", "_uint8", "_fp16", "_q4f16", "_bnb4")
"""The precisions in which the hub names a file, what suits a processor first."""


def find_onnx_file(path: Path, named: object = None, file: str | None = None) -> Path:
    """Return the `.onnx` file that `path` is or holds.

    In a folder, or in `onnx` inside it, that is the `file` which is asked for, else the
    one that is `named` by the configuration; else `model.onnx`, or the first in the
    order of `PRECISIONS`; else the only one there is, or an InputError.
    """
    if is_file(path):
        return path
    if not (path.is_dir() and os.access(path, os.R_OK | os.X_OK)):
        what = f"there is no model folder {path} that may be read"
        raise InputError(f"{what}; see `llm-walkthrough models list`")
    usual = [f"{stem}{kind}.onnx" for kind in PRECISIONS for stem in STEMS]
    wanted = [file] if file else [str(named or "model.onnx"), *usual]
    for name in wanted:
        for place in (path / name, path / "onnx" / name):
            if is_file(place):
                return place
    found = sorted(filter(is_file, [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]))
    if file or len(found) != 1:
        names = ", ".join(one.relative_to(path).as_posix() for one in found)
        what = f"{path} should hold {file or named or 'model.onnx'}, found"
        way_out = "name one of its files (--file), or another folder"
        raise InputError(f"{what} {names or 'no .onnx file'}; {way_out}")
    return found[0]
