"""The purpose of each input and output of a decoder graph, told by its name.

By name, since exporters order them differently. Knows nothing of files and of the nodes
between inputs and outputs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TypeVar

import onnx

from llm_walkthrough.errors import InputError

Kind = TypeVar("Kind", bound=Hashable)

_ROLES = {  # "%d" stands for the number of a layer
    "input_ids": "token ids",
    "attention_mask": "attention mask",
    "position_ids": "position ids",
    "use_cache_branch": "cache branch",
    "num_logits_to_keep": "logits to keep",
    "logits": "logits",
    **{
        f"{when}{more}.%d.{part}": f"{when} {part}"
        for when in ("past", "present")
        for more in ("", "_key_values")
        for part in ("key", "value")
    },
}
_NAMED_BY = {  # the keys of genai_config.json that name a port
    "past_key_names": "past key",
    "past_value_names": "past value",
    "present_key_names": "present key",
    "present_value_names": "present value",
}
_CACHE_AXES = ("batch", "kv_heads", "past", "head_dim")
_FLOATS = ("float32", "float16")  # what numpy and the processor both compute with
NO_NAMES: Mapping[str, object] = MappingProxyType({})
_NAMED = 3  # how many unknown inputs an error names


@dataclass(frozen=True)
class Port:
    """One input or output of the graph."""

    name: str  # to feed or fetch it by
    dtype: str  # the numpy name of its element type, such as "int64" or "float16"
    shape: tuple[
        int | str, ...
    ]  # a number for a fixed axis, a name for one that varies
    # one of `_ROLES`, such as "token ids" or "past key"; else "unknown"
    role: str
    layer: int | None = None  # to which a port of the cache belongs


def read_ports(
    values: Iterable[onnx.ValueInfoProto], named: Mapping[str, object] = NO_NAMES
) -> tuple[Port, ...]:
    """Return a port for each input, or output, in the order of the file.

    Those of other than the usual names are `named` by genai_config.json.

    >>> value = onnx.helper.make_tensor_value_info("input_ids", 7, ["batch", 4])
    >>> [(port.role, port.dtype, port.shape) for port in read_ports([value])]
    [('token ids', 'int64', ('batch', 4))]
    """
    known = {**_ROLES, **_NAMED_BY}
    own = {str(name): known[key] for key, name in named.items() if key in known}
    return tuple(_port(value, {**_ROLES, **own}) for value in values)


def cache_ports(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Return the cache's ports: key and value of layer 0, then of layer 1, …."""
    cached = [port for port in ports if port.layer is not None]
    return tuple(sorted(cached, key=lambda port: (port.layer, port.role)))


def folded(ports: Iterable[tuple[str, Kind]]) -> dict[tuple[str, Kind], int]:
    """Count ports that differ in the number of their layer only.

    Args:
        ports: each name, with what has to be equal besides, such as (dtype, shape).

    >>> folded([("logits", "f4"), ("past.0.key", "f4"), ("past.1.key", "f4")])
    {('logits', 'f4'): 1, ('past.{layer}.key', 'f4'): 2}
    """
    return dict(Counter((without_layer(name), kind) for name, kind in ports))


@lru_cache(maxsize=1024)  # a panel asks for every name in every run
def without_layer(name: str) -> str:
    """Return the name with "{layer}" for the number of its layer.

    >>> without_layer("present.11.value")
    'present.{layer}.value'
    """
    return re.sub(r"\.\d+(?=\.|$)", ".{layer}", name)


def check_ports(
    file: object, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> None:
    """Make sure that these are the ports of a decoder with a KV cache.

    Raises:
        InputError: an input whose purpose is unknown, no cache, token ids or logits, or
            shapes and types that cannot be run; names the `file`.
    """
    for fault in _faults(inputs, outputs):
        raise InputError(f"{file} {fault}")


def _port(value: onnx.ValueInfoProto, roles: Mapping[str, str]) -> Port:
    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    try:
        dtype = str(onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name)
    except KeyError:  # a sequence, a map, or a type newer than this onnx
        dtype = "unknown type"
    for number in re.finditer(r"\d+", value.name):
        role = roles.get(
            f"{value.name[: number.start()]}%d{value.name[number.end() :]}"
        )
        if role:
            return Port(value.name, dtype, shape, role, int(number[0]))
    return Port(value.name, dtype, shape, roles.get(value.name, "unknown"))


def _faults(inputs: tuple[Port, ...], outputs: tuple[Port, ...]) -> Iterator[str]:
    """Yield what is wrong; a check may rely on those before it having passed."""
    unknown = [port.name for port in inputs if port.role == "unknown"]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        yield (
            f"has inputs that are not known here: {', '.join(unknown[:_NAMED])}{more}"
            "; only decoders that take token ids, a mask, positions and a KV cache can "
            "be run, not encoder-decoder or vision models"
        )
    by_role = {port.role: port for port in (*inputs, *outputs)}
    for role, name in (("token ids", "input_ids"), ("logits", "logits")):
        if role not in by_role:
            yield (
                f"has no port {name!r}; only decoders that take token ids and return "
                "logits can be run, not encoders or embedding models"
            )
    past, present = cache_ports(inputs), cache_ports(outputs)
    pairs = [[(p.layer, p.role.split()[1]) for p in side] for side in (past, present)]
    if not past or pairs[0] != pairs[1]:
        yield (
            f"has {len(past)} cache inputs (past_key_values.0.key …) and "
            f"{len(present)} outputs (present.0.key …), but needs one for one; export "
            "the model with its KV cache"
        )
    for port in past:
        sizes = port.shape[1::2]  # kv_heads and head_dim
        if len(port.shape) != len(_CACHE_AXES) or sizes != past[0].shape[1::2]:
            yield (
                f"has a cache input {port.name!r} of shape {port.shape}; wanted are "
                f"the axes {', '.join(_CACHE_AXES)}, alike in all layers"
            )
    logits = by_role["logits"]
    for port in (logits, *past, *present):
        wanted = port.dtype if port is logits else past[0].dtype
        if port.dtype not in _FLOATS or port.dtype != wanted:
            yield (
                f"has {port.name!r} of {port.dtype}; only caches all of float32 or all "
                "of float16 can be run, so export the model with one of these"
            )
