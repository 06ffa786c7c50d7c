"""How does a GGUF file become a model folder, all of it or nothing?

Puts the parts together (`gguf_model`, `decoder_graph`, `model_folder`), gives the folder its
name only when it is complete, and can tell a complete folder from any other. Knows
nothing of downloads.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any, Literal

from llm_walkthrough.decoder_graph import DecoderGraph, Float32Kit, Int4Kit
from llm_walkthrough.errors import InputError
from llm_walkthrough.gguf_model import GgufModel
from llm_walkthrough.model_folder import write_genai_config, write_tokenizer
from llm_walkthrough.onnx_writer import OnnxWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Variant = Literal["int4", "float32"]
KITS = {"int4": Int4Kit, "float32": Float32Kit}

VERSION = 1
"""Raised when a converted folder changes, so that older ones are made again."""

RECORD_FILE = "conversion.json"


def convert(
    gguf: Path,
    folder: Path,
    *,
    variant: Variant,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write the model folder `folder` from the file `gguf`.

    Args:
        gguf: a llama decoder; for "int4" its matrices are Q4_1, its embedding Q8_0.
        folder: made here; one that an earlier conversion made is replaced.
        variant: "int4" keeps the codes of the file, "float32" writes plain numbers.
        progress: hears the share that is done, in 0 … 1.

    Raises:
        InputError: if the file cannot be converted, something else stands in the place of
            the folder, or the disk is full.
    """
    model = GgufModel(gguf)
    if folder.exists() and not (folder / RECORD_FILE).is_file():
        raise InputError(
            f"{folder} exists and no conversion made it; name a new folder or remove it"
        )
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    try:
        partial.mkdir(parents=True)
        _write(model, partial, variant, progress)
        _put_in_place(partial, folder)
    except OSError as error:
        raise InputError(_explain(error, folder)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_converted(folder: Path, gguf_sha256: str) -> bool:
    """Is `folder` complete, made from that file, and by this version of the converter?"""
    try:
        record = json.loads((folder / RECORD_FILE).read_text(encoding="utf-8"))
        return (
            record["converter_version"] == VERSION
            and record["gguf_sha256"] == gguf_sha256
            and record["bytes"]
            == {name: (folder / name).stat().st_size for name in record["bytes"]}
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    model: GgufModel, folder: Path, variant: Variant, progress: Callable[[float], None]
) -> None:
    with OnnxWriter(folder) as onnx:
        DecoderGraph(model, onnx, KITS[variant](model, onnx)).write(progress)
        onnx.save()
    write_tokenizer(model, folder)
    write_genai_config(model, folder)
    record = {
        "converter_version": VERSION,
        "variant": variant,
        "gguf": model.path.name,
        "gguf_sha256": sha256(model.path),
        "name": model.field("general.name"),
        "licence": model.field("general.license"),
        "bytes": {path.name: path.stat().st_size for path in sorted(folder.iterdir())},
    }
    (folder / RECORD_FILE).write_text(
        json.dumps(record, indent=2) + "\n", encoding="utf-8"
    )


def _put_in_place(partial: Path, folder: Path) -> None:
    """Rename; an older folder steps aside first, under a name that nothing reads."""
    if folder.exists():
        aside = partial.with_suffix(".old.partial")
        folder.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    partial.rename(folder)


def _explain(error: OSError, folder: Path) -> str:
    if error.errno == errno.ENOSPC:
        return f"the disk is full at {folder.parent}; free 1 GB and start again"
    return f"cannot write {folder} ({error.strerror}); choose a folder you may write"
