"""The purpose of each input and output of a decoder graph, told by its name.

By name, since exporters order them differently. Knows nothing of files and of the nodes
between inputs and outputs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import onnx

Kind = TypeVar("Kind", bound=Hashable)

_PARTS = [(when, part) for when in ("past", "present") for part in ("key", "value")]
_ROLES = {  # of a port by its name; "%d" stands for the number of a layer
    "input_ids": "token ids",
    "attention_mask": "attention mask",
    "position_ids": "position ids",
    "use_cache_branch": "cache branch",
    "num_logits_to_keep": "logits to keep",
    "logits": "logits",
    **{f"{when}.%d.{part}": f"{when} {part}" for when, part in _PARTS},
    **{f"{when}_key_values.%d.{part}": f"{when} {part}" for when, part in _PARTS},
}
_NAMED_BY = {f"{when}_{part}_names": f"{when} {part}" for when, part in _PARTS}


@dataclass(frozen=True)
class Port:
    """One input or output of the graph."""

    name: str  # to feed or fetch it by
    dtype: str  # the numpy name of its element type, such as "int64" or "float16"
    # of each axis: a number where it is fixed, a name where it varies
    shape: tuple[int | str, ...]
    # one of `_ROLES`, such as "token ids" or "past key"; else "unknown"
    role: str
    layer: int | None = None  # to which a port of the cache belongs


def read_ports(
    values: Iterable[onnx.ValueInfoProto], named: Mapping[str, object]
) -> tuple[Port, ...]:
    """Return a port for each input, or output, in the order of the file.

    Those of other than the usual names are `named` by genai_config.json.

    >>> import onnx
    >>> value = onnx.helper.make_tensor_value_info("input_ids", 7, ["batch", 4])
    >>> [(port.role, port.dtype, port.shape) for port in read_ports([value], {})]
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

    Each is a name, with what has to be equal besides, such as (dtype, shape).

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


def _port(value: onnx.ValueInfoProto, roles: Mapping[str, str]) -> Port:
    from onnx.helper import tensor_dtype_to_np_dtype  # noqa: PLC0415 - a panel does without

    tensor = value.type.tensor_type
    shape = tuple(
        axis.dim_value if axis.dim_value > 0 else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    try:
        dtype = str(tensor_dtype_to_np_dtype(tensor.elem_type).name)
    except KeyError:  # a sequence, a map, or a type newer than this onnx
        dtype = "unknown type"
    for number in re.finditer(r"\d{1,9}", value.name):
        before, after = value.name[: number.start()], value.name[number.end() :]
        if role := roles.get(f"{before}%d{after}"):
            return Port(value.name, dtype, shape, role, int(number[0]))
    return Port(value.name, dtype, shape, roles.get(value.name, "unknown"))
