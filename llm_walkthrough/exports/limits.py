"""How far an export can be trusted, read from its nodes and its configuration.

An exporter writes down one trace of the original program. What that trace leaves out
gives wrong answers without a word, so it is looked for here, and the context ends
before it. Knows nothing of sessions; what only a run can prove, `model` proves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_walkthrough.model_files.model_config import ModelConfig, is_whole
from llm_walkthrough.model_files.onnx_file import all_nodes

if TYPE_CHECKING:
    import onnx

    from llm_walkthrough.model_files.ports import Port

_FUSED = {"GroupQueryAttention", "MultiHeadAttention", "Attention"}
_INTEGERS = (6, 7)  # ONNX's numbers for int32 and int64


@dataclass(frozen=True)
class Limits:
    """What can be relied on.

    Attributes:
        context_length: the most tokens that come out right.
        least_capacity: rows that a shared buffer must have, 0 for any number; above 0
            the cache can be nothing but a shared buffer.
        notes: a sentence for each thing that does not work, and why.
    """

    context_length: int
    least_capacity: int = 0
    notes: tuple[str, ...] = ()


def read_limits(
    graph: onnx.GraphProto, config: ModelConfig, longest: int, logits: Port
) -> Limits:
    """Find the limits of a graph whose configuration has a context of `longest`."""
    nodes, notes = all_nodes(graph), []
    ends = {"rotary factors": _switch(nodes, graph, config)}
    ends["window"] = _lost_window(nodes, graph, config)
    for what, end in ends.items():
        if end is not None and end < longest:
            notes.append(f"the context ends at {end:,} of {longest:,} {_WHY[what]}")
    least = max((_number(node, _WINDOW) for node in nodes if _slides(node)), default=0)
    if least:
        notes.append(
            f"the cache is a shared buffer of at least {least:,} tokens, since layers "
            "with a window would else drop tokens that an undo needs"
        )
    if logits.shape[1:2] == (1,):  # [batch, sequence, vocab]
        notes.append(
            "it returns logits for the last token of a run only, so what needs a row "
            "for each token of the prompt does not work"
        )
    capped = min([longest, *(end for end in ends.values() if end is not None)])
    return Limits(capped, least, tuple(notes))


def disagreements(config: ModelConfig, seen: Mapping[str, int]) -> Iterator[str]:
    """Yield a sentence for each size that the configuration has otherwise.

    Args:
        config: what stands beside the graph.
        seen: the key of a configuration to the size that is fixed in the graph.
    """
    for keys, size in seen.items():
        said = config.number(*keys.split())
        if said not in (None, size):
            yield (
                f"the configuration has {said:,} for {keys.split()[0]} and the graph "
                f"{size:,}, which is used; see that both are of the same model"
            )


_WINDOW = "local_window_size"
_WHY = {
    "rotary factors": (
        "tokens: beyond it the model turns keys by other factors (LongRoPE), and those "
        "in the cache would be wrong without a word"
    ),
    "window": (
        "tokens: the model looks back no further (sliding_window), but this graph does"
    ),
}


def _switch(
    nodes: list[onnx.NodeProto], graph: onnx.GraphProto, config: ModelConfig
) -> int | None:
    """Return for how many tokens the short factors of LongRoPE hold, if it has any.

    The model builder's graphs ask whether there are more, and choose the tables of
    sines by an `If`, or shift the largest position; others keep the short ones.
    """
    scaling = config.table("rope_scaling") or config.table("rope_parameters")
    if {"longrope", "su"} & {scaling.get("type"), scaling.get("rope_type")}:
        said = config.number("original_max_position_embeddings")
        inner = scaling.get("original_max_position_embeddings")
        if said or is_whole(inner):
            return said or inner
    constants = dict(_constants(nodes, graph))
    chosen = {node.input[0] for node in nodes if node.op_type == "If"}
    largest = {node.output[0] for node in nodes if node.op_type == "ReduceMax"}
    asked = [
        constants[node.input[1]]
        for node in nodes
        if node.op_type in {"Greater", "GreaterOrEqual"}
        and len(node.input) > 1
        and node.input[1] in constants
        and (node.output[0] in chosen or node.input[0] in largest)
    ]
    return min((count for count in asked if count > 1), default=None)


def _lost_window(
    nodes: list[onnx.NodeProto], graph: onnx.GraphProto, config: ModelConfig
) -> int | None:
    """Return the window that the configuration has, if the graph knows nothing of it.

    A fused operator has it as an attribute; where attention is made of plain operators
    it is a number that the mask is compared with.
    """
    inner = config.table("sliding_window").get("window_size")  # of genai_config.json
    window = config.number("sliding_window") or (inner if is_whole(inner) else None)
    kinds = config.entry("layer_types")
    if config.entry("use_sliding_window") is False:
        return None
    if isinstance(kinds, list) and "sliding_attention" not in kinds:
        return None
    if any(node.op_type in _FUSED for node in nodes):
        known = {_number(node, _WINDOW) for node in nodes} - {0, -1}
        return None if known else window
    return None if window in {n for _, n in _constants(nodes, graph)} else window


def _slides(node: onnx.NodeProto) -> bool:
    return _number(node, "sliding_window_cache") == 1


def _number(node: onnx.NodeProto, name: str) -> int:
    return next((int(a.i) for a in node.attribute if a.name == name), 0)


def _constants(
    nodes: list[onnx.NodeProto], graph: onnx.GraphProto
) -> Iterator[tuple[str, int]]:
    """Yield the name and value of each whole number in the graph."""
    made = [(n.output[0], a.t) for n in nodes for a in n.attribute if a.HasField("t")]
    for name, tensor in [*((t.name, t) for t in graph.initializer), *made]:
        if tensor.data_type in _INTEGERS and list(tensor.dims) in ([], [1]):
            listed = [*tensor.int64_data, *tensor.int32_data]
            raw = int.from_bytes(tensor.raw_data, "little", signed=True)
            yield name, listed[0] if listed else raw
