"""How far an export can be trusted, read from its nodes and its configuration.

An exporter writes down one trace of the original program. What that trace leaves out
gives wrong answers without a word, so it is looked for here, and the context ends
before it. Knows nothing of sessions; what only a run can prove, `model` proves.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnx

from llm_walkthrough.model_files.model_config import MOST, ModelConfig
from llm_walkthrough.model_files.onnx_file import all_nodes
from llm_walkthrough.model_files.ports import Port

Nodes = list[onnx.NodeProto]

_FUSED = {"GroupQueryAttention", "MultiHeadAttention", "Attention"}
_INTEGERS = (onnx.TensorProto.INT32, onnx.TensorProto.INT64)
_WORDS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text("utf-8"))


@dataclass(frozen=True)
class Limits:
    """What can be relied on."""

    context_length: int  # the most tokens that come out right
    # rows that a shared buffer must have; above 0, the cache can be nothing else
    least_capacity: int = 0
    notes: tuple[str, ...] = ()  # a sentence for each thing that does not work


def read_limits(
    graph: onnx.GraphProto, config: ModelConfig, longest: int, logits: Port
) -> Limits:
    """Find the limits of a graph whose configuration has a context of `longest`."""
    nodes = all_nodes(graph)
    numbers = dict(_whole_numbers(graph, nodes))
    ends = {
        _WORDS["switches"]: _switch(nodes, numbers, config),
        _WORDS["looks_back"]: _lost_window(nodes, numbers, config),
    }
    notes = [
        f"the context ends at {end:,} of {longest:,} tokens: {why}"
        for why, end in ends.items()
        if end < longest
    ]
    sliding = [node for node in nodes if _number(node, "sliding_window_cache")]
    least = max((_number(node, "local_window_size") for node in sliding), default=0)
    if least:
        buffer = f"the cache is one buffer for {least:,} tokens or more"
        notes.append(f"{buffer}: in a smaller one, {_WORDS['drops']}")
    if logits.shape[1:2] == (1,):  # [batch, sequence, vocab]
        notes.append(_WORDS["last_row"])
    return Limits(min(longest, *ends.values()), least, tuple(notes))


def disagreements(config: ModelConfig, seen: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each key of which the graph is `seen` to say otherwise."""
    for keys, size in seen.items():
        said = config.number(*keys.split())
        if said not in (None, size):
            what = f"the configuration has {said:,} for {keys.split()[0]}"
            used = f"the graph {size:,}, which is used"
            yield f"{what} and {used}; see that both are of the same model"


def known_differences(producer: str, config: ModelConfig) -> Iterator[str]:
    """Yield what a graph cannot show: its exporter gets this architecture wrong."""
    kind = config.entry("model_type") or config.entry("type")  # as genai_config says it
    for known in _WORDS["known"]:
        if (kind, producer) == (known["type"], known["producer"]):
            yield _WORDS["differs"].format(**known)


def can_share_buffers(
    graph: onnx.GraphProto, past: tuple[Port, ...], present: tuple[Port, ...]
) -> bool:
    """Tell whether GroupQueryAttention alone reads each past and writes its present."""
    nodes = all_nodes(graph)
    pairs = {
        pair
        for node in nodes
        if node.op_type == "GroupQueryAttention"
        # inputs 3 and 4: past key and value; outputs 1 and 2: present key and value
        for pair in zip(node.input[3:5], node.output[1:3], strict=False)
    }
    # any other reader would find a past as long as the whole buffer
    readers = Counter(name for node in nodes for name in node.input)
    return all(
        (before.name, after.name) in pairs and readers[before.name] == 1
        for before, after in zip(past, present, strict=True)
    )


def _switch(nodes: Nodes, numbers: dict[str, int], config: ModelConfig) -> int:
    """Return for how many tokens the short factors of LongRoPE hold, if it has any.

    The model builder's graphs ask whether there are more, and choose tables of sines by
    an `If`, or shift the largest position; other exporters keep the short factors.
    """
    scaling = config.table("rope_scaling") or config.table("rope_parameters")
    if any(scaling.get(key) in ("longrope", "su") for key in ("type", "rope_type")):
        said = ModelConfig({**config.settings, "inside": scaling})
        if length := said.number("original_max_position_embeddings"):
            return length
    chosen = {name for n in nodes if n.op_type == "If" for name in n.input}
    largest = {name for n in nodes if n.op_type == "ReduceMax" for name in n.output}
    asked = [
        numbers.get(name, 0)
        for node in nodes
        if node.op_type in {"Greater", "GreaterOrEqual"}
        and (chosen.intersection(node.output) or largest.intersection(node.input))
        for name in node.input
    ]
    return min((length for length in asked if length > 1), default=MOST)


def _lost_window(nodes: Nodes, numbers: dict[str, int], config: ModelConfig) -> int:
    """Return the window that the configuration has, if the graph knows nothing of it.

    A fused operator has it as an attribute; where attention is made of plain operators
    it is a number that the mask is compared with.
    """
    inside = config.table("sliding_window")  # of genai_config.json
    said = ModelConfig({**config.settings, "inside": inside})
    window = said.number("sliding_window", "window_size")
    kinds = str(config.entry("layer_types") or "sliding_attention")
    is_used = config.entry("use_sliding_window") is not False
    if not (window and is_used and "sliding_attention" in kinds):
        return MOST
    if any(node.op_type in _FUSED for node in nodes):
        is_known = any(_number(node, "local_window_size") > 0 for node in nodes)
    else:
        is_known = window in numbers.values()
    return MOST if is_known else window


def _number(node: onnx.NodeProto, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)


def _whole_numbers(graph: onnx.GraphProto, nodes: Nodes) -> Iterator[tuple[str, int]]:
    """Yield the name and value of each single whole number in the graph."""
    named = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in (node for node in nodes if node.output):
        named += [(node.output[0], a.t) for a in node.attribute if a.HasField("t")]
    for name, tensor in named:
        if tensor.data_type in _INTEGERS and list(tensor.dims) in ([], [1]):
            listed = [*tensor.int64_data, *tensor.int32_data]
            raw = int.from_bytes(tensor.raw_data, "little", signed=True)
            yield name, listed[0] if listed else raw
