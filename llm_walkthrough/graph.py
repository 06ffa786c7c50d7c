"""Which inputs and outputs has this ONNX file, and what is each for?

Reads the structure of the file and the small configuration beside it, never the
weights. Ports are found by name, since exporters order them differently, and what a
graph leaves symbolic comes from `genai_config.json` or `config.json`. Knows nothing of
sessions: `model` asserts that the running session agrees with what is read here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_config import read_model_config

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


@dataclass(frozen=True)
class Graph:
    """What has to be known of a decoder in order to run it.

    Attributes:
        path: the `.onnx` file.
        inputs: all inputs, in the order of the file.
        outputs: all outputs, in the order of the file.
        kv_heads: heads in the cache of one layer.
        head_dim: numbers in one key or value.
        vocab: how many tokens the logits score.
        context_length: the most tokens the model can attend to.
        end_tokens: the ids that end an answer.
        can_share_buffers: whether past and present may be one buffer, as every
            attention is a GroupQueryAttention.
    """

    path: Path
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    kv_heads: int
    head_dim: int
    vocab: int
    context_length: int
    end_tokens: tuple[int, ...]
    can_share_buffers: bool

    @property
    def past(self) -> tuple[Port, ...]:
        """The cache's inputs: key and value of layer 0, then of layer 1, and so on."""
        return _cache_ports(self.inputs)

    @property
    def present(self) -> tuple[Port, ...]:
        """The cache's outputs, in the order of `past`."""
        return _cache_ports(self.outputs)

    @property
    def num_layers(self) -> int:
        """How many layers own a part of the cache."""
        return len(self.past) // 2

    @property
    def cache_dtype(self) -> np.dtype[Any]:
        """The element type of keys and values."""
        return np.dtype(self.past[0].dtype)

    @property
    def cache_bytes_per_token(self) -> int:
        """Bytes that one more token adds: layers x K,V x kv_heads x head_dim x size."""
        numbers = len(self.past) * self.kv_heads * self.head_dim
        return numbers * self.cache_dtype.itemsize

    def port(self, role: Role) -> Port | None:
        """Return the port with this role, or None if the graph has none."""
        ports = (*self.inputs, *self.outputs)
        return next((port for port in ports if port.role == role), None)


def read_graph(path: Path) -> Graph:
    """Read a model folder, or an `.onnx` file, without its weights.

    Raises:
        InputError: no graph there, a damaged one, weights missing or cut short, a graph
            without a cache, an input whose purpose is unknown, or a fact that neither
            the graph nor the configuration beside it tells.
    """
    file = find_onnx_file(Path(path))
    proto = _load_structure(file)
    _check_weights(file, proto)
    inputs = _ports(proto.graph.input)
    outputs = _ports(proto.graph.output)
    _check_roles(file, inputs, outputs)
    facts = _Facts(file, inputs, outputs)
    return Graph(
        path=file,
        inputs=inputs,
        outputs=outputs,
        kv_heads=facts.kv_heads(),
        head_dim=facts.head_dim(),
        vocab=facts.vocab(),
        context_length=facts.context_length(),
        end_tokens=facts.end_tokens(),
        can_share_buffers=_can_share_buffers(proto, inputs),
    )


def find_onnx_file(path: Path) -> Path:
    """Return the `.onnx` file that `path` is or holds.

    Raises:
        InputError: there is none, or there are several and none is `model.onnx`.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise InputError(
            f"there is no model folder {path}; see `llm-walkthrough models list`"
        )
    for usual in (path / "model.onnx", path / "onnx" / "model.onnx"):
        if usual.is_file():
            return usual
    found = sorted(path.glob("*.onnx"))
    if len(found) != 1:
        names = ", ".join(file.name for file in found) or "none"
        raise InputError(
            f"{path} should hold model.onnx or one other .onnx file, found {names}; "
            "name the file itself or fetch the model again"
        )
    return found[0]


def _load_structure(file: Path) -> onnx.ModelProto:
    try:
        proto = onnx.load(file, load_external_data=False)
    except DecodeError as error:
        raise InputError(
            f"{file} is not a readable ONNX graph ({error}); fetch or convert the "
            "model again"
        ) from error
    if not proto.graph.node:
        raise InputError(
            f"{file} holds no ONNX nodes ({file.stat().st_size} bytes); fetch or "
            "convert the model again"
        )
    return proto


def _check_weights(file: Path, proto: onnx.ModelProto) -> None:
    needed: dict[str, int] = {}
    for tensor in filter(uses_external_data, proto.graph.initializer):
        where = ExternalDataInfo(tensor)
        end = (where.offset or 0) + (where.length or 0)
        needed[where.location] = max(end, needed.get(where.location, 0))
    for location, size in needed.items():
        weights = file.parent / location
        if not weights.is_file():
            raise InputError(
                f"{weights} with the weights of {file.name} is missing; fetch or "
                "convert the model again"
            )
        if weights.stat().st_size < size:
            raise InputError(
                f"{weights} is cut short: {weights.stat().st_size:,} of at least "
                f"{size:,} bytes; fetch or convert the model again"
            )


def _ports(values: Iterable[onnx.ValueInfoProto]) -> tuple[Port, ...]:
    return tuple(_port(value) for value in values)


def _port(value: onnx.ValueInfoProto) -> Port:
    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") else axis.dim_param or "?"
        for axis in tensor.shape.dim
    )
    match = _CACHE_NAME.fullmatch(value.name)
    if match is None:
        role = _PLAIN_ROLES.get(value.name, "unknown")
        return Port(value.name, dtype, shape, role)
    cache_role: Role = f"{match['when']} {match['part']}"  # type: ignore[assignment]
    return Port(value.name, dtype, shape, cache_role, int(match["layer"]))


def _cache_ports(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    cached = [port for port in ports if port.layer is not None]
    return tuple(sorted(cached, key=lambda port: (port.layer, port.role)))


def _check_roles(
    file: Path, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> None:
    past, present = _cache_ports(inputs), _cache_ports(outputs)
    pairs = [
        [(port.layer, port.role[-3:]) for port in side] for side in (past, present)
    ]
    if not past or pairs[0] != pairs[1]:
        raise InputError(
            f"{file} has {len(past)} cache inputs (past_key_values.0.key …) and "
            f"{len(present)} outputs (present.0.key …), but needs one for one; export "
            "the model with its KV cache"
        )
    roles = {port.role for port in (*inputs, *outputs)}
    for name in ("input_ids", "logits"):
        if _PLAIN_ROLES[name] not in roles:
            raise InputError(
                f"{file} has no port {name!r}; export the model as a decoder that "
                "takes token ids and returns logits"
            )
    for port in inputs:
        if port.role == "unknown":
            raise InputError(
                f"{file} has an input {port.name!r} that is not known here; only "
                "decoders with token ids, a mask, positions and a KV cache can be run"
            )


def _can_share_buffers(proto: onnx.ModelProto, inputs: tuple[Port, ...]) -> bool:
    grouped = {
        name
        for node in proto.graph.node
        if node.op_type == "GroupQueryAttention"
        for name in node.input
    }
    return all(port.name in grouped for port in _cache_ports(inputs))


class _Facts:
    """Facts from the graph where it has them, else from the files beside it."""

    def __init__(
        self, file: Path, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
    ) -> None:
        self._file = file
        self._key_axes = _cache_ports(inputs)[0].shape
        self._logits_axes = next(p.shape for p in outputs if p.role == "logits")
        self._config = read_model_config(file.parent)

    def kv_heads(self) -> int:
        keys = ("num_key_value_heads", "num_attention_heads", "n_head")
        return self._number("kv_heads", self._key_axes[1], keys)

    def head_dim(self) -> int:
        keys = ("head_size", "head_dim")
        axis = self._key_axes[3]
        width = self._config.number("hidden_size", "n_embd")
        heads = self._config.number("num_attention_heads", "n_head")
        if isinstance(axis, str) and not self._config.number(*keys) and width and heads:
            return width // heads
        return self._number("head_dim", axis, keys)

    def vocab(self) -> int:
        return self._number("vocab", self._logits_axes[-1], ("vocab_size",))

    def context_length(self) -> int:
        keys = ("context_length", "max_position_embeddings", "n_positions", "n_ctx")
        return self._number("context_length", "?", keys)

    def end_tokens(self) -> tuple[int, ...]:
        return self._config.end_tokens()

    def _number(self, fact: str, axis: int | str, keys: tuple[str, ...]) -> int:
        value = axis if isinstance(axis, int) else self._config.number(*keys)
        if value is None:
            wanted = " or ".join(repr(key) for key in keys)
            raise InputError(
                f"{fact} is not a fixed number in {self._file.name}, and no {wanted} "
                "stands in genai_config.json or config.json beside it; add that file"
            )
        return value
