"""What is each input and output of a decoder graph for?

Told by the name, since exporters order them differently. Knows nothing of files and of
the nodes between inputs and outputs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import onnx

from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

Role = Literal[
    "token ids",
    "attention mask",
    "position ids",
    "cache branch",
    "past key",
    "past value",
    "present key",
    "present value",
    "logits",
    "unknown",
]

_PLAIN_ROLES: dict[str, Role] = {
    "input_ids": "token ids",
    "attention_mask": "attention mask",
    "position_ids": "position ids",
    "use_cache_branch": "cache branch",
    "logits": "logits",
}
_CACHE_NAME = re.compile(
    r"(?P<when>past|present)(_key_values)?\.(?P<layer>\d+)\.(?P<part>key|value)"
)
_CACHE_AXES = ("batch", "kv_heads", "past", "head_dim")
_FLOATS = ("float32", "float16")  # what numpy and the processor both compute with
_NAMED = 3  # how many unknown inputs an error names


@dataclass(frozen=True)
class Port:
    """One input or output of the graph.

    Attributes:
        name: the name to feed or fetch it by.
        dtype: the numpy name of its element type, such as "int64" or "float16".
        shape: its axes; a number where it is fixed, a name where it may vary.
        role: what it is for.
        layer: the layer it belongs to, for a port of the cache.
    """

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    role: Role
    layer: int | None = None


def read_ports(values: Iterable[onnx.ValueInfoProto]) -> tuple[Port, ...]:
    """Return a port for each input, or output, in the order of the file."""
    return tuple(_port(value) for value in values)


def cache_ports(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Return the cache's ports: key and value of layer 0, then of layer 1, …."""
    cached = [port for port in ports if port.layer is not None]
    return tuple(sorted(cached, key=lambda port: (port.layer, port.role)))


def check_ports(inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    """Make sure that these are the ports of a decoder with a KV cache.

    Raises:
        InputError: an input whose purpose is unknown, no cache, token ids or logits, or
            shapes and types that cannot be run; `graph` puts the file's name in front.
    """
    _check_known(inputs)
    _check_complete(inputs, outputs)
    past, present = cache_ports(inputs), cache_ports(outputs)
    _check_axes(past)
    logits = next(port for port in outputs if port.role == "logits")
    _check_types((*past, *present), logits)
    if logits.shape[1:2] == (1,):
        raise InputError(
            "returns logits for the last token only; export the model with logits for "
            "every token"
        )


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    match = _CACHE_NAME.fullmatch(value.name)
    if match is None:
        role = _PLAIN_ROLES.get(value.name, "unknown")
        return Port(value.name, _dtype(tensor), shape, role)
    cache_role: Role = f"{match['when']} {match['part']}"  # type: ignore[assignment]
    return Port(value.name, _dtype(tensor), shape, cache_role, int(match["layer"]))


def _dtype(tensor: onnx.TypeProto.Tensor) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)
    except KeyError:  # a sequence, a map, or a type newer than this onnx
        return "unknown type"


def _check_known(inputs: tuple[Port, ...]) -> None:
    unknown = [port.name for port in inputs if port.role == "unknown"]
    if unknown:
        named, others = unknown[:_NAMED], unknown[_NAMED:]
        more = f" and {len(others)} more" if others else ""
        raise InputError(
            f"has inputs that are not known here: {', '.join(named)}{more}; only "
            "decoders that take token ids, a mask, positions and a KV cache can be "
            "run, not encoder-decoder or vision models"
        )


def _check_complete(inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> None:
    past, present = (
        [(port.layer, port.role.split()[1]) for port in cache_ports(side)]
        for side in (inputs, outputs)
    )
    if not past or past != present:
        raise InputError(
            f"has {len(past)} cache inputs (past_key_values.0.key …) and "
            f"{len(present)} outputs (present.0.key …), but needs one for one; export "
            "the model with its KV cache"
        )
    names = {port.name for port in (*inputs, *outputs)}
    for name in ("input_ids", "logits"):
        if name not in names:
            raise InputError(
                f"has no port {name!r}; export the model as a decoder that takes "
                "token ids and returns logits"
            )


def _check_axes(past: tuple[Port, ...]) -> None:
    for port in past:
        sizes = port.shape[1::2]
        if len(port.shape) != len(_CACHE_AXES) or sizes != past[0].shape[1::2]:
            raise InputError(
                f"has a cache input {port.name!r} of shape {port.shape}; wanted are "
                f"the axes {', '.join(_CACHE_AXES)}, alike in all layers"
            )


def _check_types(cache: tuple[Port, ...], logits: Port) -> None:
    for port, wanted in [
        (logits, _FLOATS),
        *((port, (cache[0].dtype,)) for port in cache),
    ]:
        if port.dtype not in _FLOATS or port.dtype not in wanted:
            raise InputError(
                f"has {port.name!r} of {port.dtype}; only caches all of float32 or all "
                "of float16 can be run, so export the model with one of these"
            )
