"""How the page makes the graph's data file from the GGUF file: what lies where in both.

So the page needs no reader of either format. Knows nothing of how a row is unpacked:
web/weights.js does that.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from llm_walkthrough.conversion.gguf_model import CheckedReader, GgufModel
from llm_walkthrough.model_files.onnx_file import read_structure

SOURCES = {
    "embed_tokens": ("token_embd",),
    "qkv_proj": ("attn_q", "attn_k", "attn_v"),
    "o_proj": ("attn_output",),
    "gate_up_proj": ("ffn_gate", "ffn_up"),
    "down_proj": ("ffn_down",),
}
PAIRED = ("attn_q.weight", "attn_k.weight")  # GgufModel tells how


def recipe(gguf_file: Path, graph_file: Path) -> Iterator[dict[str, Any]]:
    """Yield each weight of a float32 graph: its name, its place, and what makes it.

    Bytes `offset` to `offset` + `length` of the data file are the rows of the tensors
    in `parts`, or cosines or sines (`wave`) [positions, pairs] of position * `turns`.
    """
    model = GgufModel(gguf_file)
    head_dim, theta = model.head_dim, model.number("rope.freq_base")
    turns = theta ** (-2.0 * np.arange(head_dim // 2) / head_dim)
    paired = np.arange(head_dim).reshape(-1, 2).T.ravel().tolist()  # 0, 2, … 1, 3, …
    parts = {}
    for tensor in CheckedReader(gguf_file).tensors:
        parts[tensor.name] = {
            "kind": tensor.tensor_type.name,
            "start": int(tensor.data_offset),
            "columns": int(tensor.shape[0]),
            "rows": int(tensor.shape[1:].prod()),
            # which row of the file comes first, second … in each so many
            "order": paired if tensor.name.endswith(PAIRED) else [0],
        }
    for weight in read_structure(graph_file).graph.initializer:
        if not uses_external_data(weight):
            continue
        place, name = ExternalDataInfo(weight), weight.name
        made: dict[str, Any] = {"wave": name[:3], "turns": turns.tolist()}
        if not name.endswith("_cache"):
            made = {"parts": [parts[source] for source in _sources(name)]}
        yield {"name": name, "offset": place.offset, "length": place.length, **made}


def _sources(weight: str) -> list[str]:
    """Name the tensors whose rows, one below the other, are a weight of the graph."""
    *room, product, _ = weight.split("/")  # /model/layers.3/attn/qkv_proj/weight
    layer = f"blk.{room[2].removeprefix('layers.')}." if room[2:] else ""
    return [f"{layer}{source}.weight" for source in SOURCES[product]]
