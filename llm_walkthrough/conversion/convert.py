"""How does a GGUF file become a model folder, all of it or nothing?

Puts the parts together (`gguf_model`, `decoder_graph`, `model_folder`), gives the
folder its name only when it is complete. Knows nothing of downloads.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from llm_walkthrough.conversion.decoder_graph import DecoderGraph
from llm_walkthrough.conversion.matrix_kits import Float32Kit, Int4Kit, Kit
from llm_walkthrough.conversion.model_folder import write_genai_config, write_tokenizer
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.conversion.record import RECORD_FILE, VERSION
from llm_walkthrough.conversion.storage import (
    refusals_explained,
    scratch_folder,
    sha256,
)
from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llm_walkthrough.conversion.gguf_model import GgufModel

Variant = Literal["int4", "float32"]
KITS: dict[Variant, type[Kit]] = {"int4": Int4Kit, "float32": Float32Kit}


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
        InputError: if the file cannot be converted, if `folder` is something else
            already, or if the disk is full.
    """
    # whoever only opens a model asks here too, and need not wait for gguf to load
    from llm_walkthrough.conversion.gguf_model import GgufModel  # noqa: PLC0415

    model = GgufModel(gguf)
    if folder.exists() and not (folder / RECORD_FILE).is_file():
        raise InputError(
            f"{folder} exists and no conversion made it; name a new folder or remove it"
        )
    with refusals_explained(folder.parent), scratch_folder(folder) as scratch:
        complete = scratch / "new"
        complete.mkdir()
        _write(model, complete, variant, progress)
        if folder.exists():
            folder.rename(scratch / "old")
        complete.rename(folder)


def _write(
    model: GgufModel, folder: Path, variant: Variant, progress: Callable[[float], None]
) -> None:
    with OnnxWriter(folder) as onnx:
        DecoderGraph(model, onnx, KITS[variant](model, onnx)).write(progress)
        onnx.save()
    write_tokenizer(model, folder)
    write_genai_config(model, folder)
    record = {
        "version": VERSION,
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
