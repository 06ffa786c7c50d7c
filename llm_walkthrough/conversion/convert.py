"""Conversion of a GGUF file into a model folder: all of it, or nothing.

Knows nothing of downloads. Beside the graph (`decoder_graph`) the folder holds

    tokenizer.json         vocabulary, merges and how text is split
    tokenizer_config.json  chat template and the names of the special tokens
    genai_config.json      the model's numbers and ports, in onnxruntime-genai's layout
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from gguf import TokenType
from jinja2 import Template

from llm_walkthrough.conversion import gguf_tokenizer
from llm_walkthrough.conversion.decoder_graph import DecoderGraph
from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.matrix_kits import Float32Kit, Int4Kit, Kit
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.conversion.record import RECORD_FILE, sha256, write_record
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import storage

Variant = Literal["int4", "float32"]
KITS: dict[Variant, type[Kit]] = {"int4": Int4Kit, "float32": Float32Kit}
_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))
TEMPLATE = Path(__file__).with_name("genai_config.json.jinja")


def convert(
    gguf: Path,
    folder: Path,
    *,
    variant: Variant,
    origin: Mapping[str, str] | None = None,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Write a decoder's model folder, also over one from an earlier conversion.

    "int4" keeps the codes of the file, of 4 or 8 bits; "float32" writes plain numbers.
    The record says `origin` besides. `progress` hears the share that is done, in 0 … 1.
    """
    model = GgufModel(gguf)
    if folder.exists() and not (folder / RECORD_FILE).is_file():
        what = f"{folder} exists and no conversion made it"
        raise InputError(f"{what}; name a new folder or remove it")
    kit = KITS[variant]
    storage.require_room(folder, model.num_bytes(kit.bytes_per_weight))
    refusals = storage.refusals_explained(folder.parent)
    with refusals, np.errstate(all="ignore"), storage.replacement(folder) as complete:
        for name, make in SMALL_FILES.items():  # soon done, and often refused
            (complete / name).write_bytes(make(model).encode())
        with OnnxWriter(complete) as onnx:
            DecoderGraph(model, onnx, kit(model, onnx)).write(progress)
            onnx.save()
        name, licence = map(model.field, ("general.name", "general.license"))
        of_file = {"gguf": gguf.name, "gguf_sha256": sha256(gguf), "name": name}
        facts = {"variant": variant, **of_file, "licence": licence, **(origin or {})}
        write_record(complete, **facts)


def _tokenizer_config(model: GgufModel) -> str:
    named = {
        f"{role}_token": model.tokens[token_id]
        for role, key in _TABLES["roles"].items()
        if (token_id := model.token(f"tokenizer.ggml.{key}_token_id")) is not None
    }
    chat_template = model.field("tokenizer.chat_template")
    if not isinstance(chat_template, str | None):
        raise model.wrong("tokenizer.chat_template", "a text", chat_template)
    config = {
        "tokenizer_class": gguf_tokenizer.splitting_of(model).tokenizer_class,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.context_length,
        **named,
        "chat_template": chat_template,
    }
    return _json(config)


def _genai_config(model: GgufModel) -> str:
    """Greedy unless told otherwise, one shared buffer for past and present."""
    template = Template(TEMPLATE.read_text("utf-8"))
    return _json(json.loads(template.render(model=model, ends=end_tokens(model))))


SMALL_FILES: dict[str, Callable[[GgufModel], str]] = {
    "tokenizer.json": lambda m: gguf_tokenizer.make_tokenizer(m).to_str(pretty=True),
    "tokenizer_config.json": _tokenizer_config,
    "genai_config.json": _genai_config,
}  # what makes the text of each file; InputError where the GGUF file lacks something


def end_tokens(model: GgufModel) -> list[int]:
    """Ids that end an answer, those of the metadata first; InputError without any."""
    named = [
        model.token(f"tokenizer.ggml.{role}_token_id") for role in _TABLES["end_roles"]
    ]
    known = gguf_tokenizer.tokens_of_kind(model, TokenType.CONTROL)
    ends = [*named, *(known[text] for text in known if text in _TABLES["end_texts"])]
    unique = [*dict.fromkeys(token for token in ends if token is not None)]
    if not unique:
        key = "tokenizer.ggml.eos_token_id"
        raise model.wrong(key, "a token that ends an answer", None)
    return unique


def _json(content: object) -> str:
    """Write JSON that people may read as well."""
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
