"""Conversion of a GGUF file into a model folder: all of it, or nothing.

Puts the parts together (`gguf_model`, `decoder_graph`, `model_folder`) and gives the
folder its name only when it is complete. Knows nothing of downloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from llm_walkthrough.conversion import model_folder
from llm_walkthrough.conversion.decoder_graph import DecoderGraph
from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.matrix_kits import Float32Kit, Int4Kit, Kit
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.conversion.record import RECORD_FILE, sha256, write_record
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import storage

Variant = Literal["int4", "float32"]
KITS: dict[Variant, type[Kit]] = {"int4": Int4Kit, "float32": Float32Kit}


def convert(
    gguf: Path,
    folder: Path,
    *,
    variant: Variant,
    origin: Mapping[str, str] = MappingProxyType({}),
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write a decoder's model folder, also over one from an earlier conversion.

    "int4" keeps the codes of the file, of 4 or 8 bits; "float32" writes plain numbers.
    The record says `origin` besides. `progress` hears the share that is done, in 0 … 1.

    Raises:
        InputError: if the file cannot be converted, if `folder` is something else
            already, or if the disk has no room.
    """
    model = GgufModel(gguf)
    if folder.exists() and not (folder / RECORD_FILE).is_file():
        raise InputError(
            f"{folder} exists and no conversion made it; name a new folder or remove it"
        )
    kit = KITS[variant]
    storage.require_room(folder, model.num_bytes(kit.bytes_per_weight))
    refusals = storage.refusals_explained(folder.parent)
    with refusals, storage.replacement(folder) as complete:
        model_folder.write_tokenizer(model, complete)  # soon done, and often refused
        with OnnxWriter(complete) as onnx:
            DecoderGraph(model, onnx, kit(model, onnx)).write(progress)
            onnx.save()
        model_folder.write_genai_config(model, complete)
        write_record(
            complete,
            variant=variant,
            gguf=gguf.name,
            gguf_sha256=sha256(gguf),
            name=model.field("general.name"),
            licence=model.field("general.license"),
            **origin,
        )
