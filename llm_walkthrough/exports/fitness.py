"""Whether a graph is a decoder that can be run at all, told by its ports.

Knows nothing of how far it can be trusted: `limits` does.
"""

from __future__ import annotations

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.ports import Port, cache_ports

_CACHE_AXES = ("batch", "kv_heads", "past", "head_dim")
_FLOATS = ("float32", "float16")  # what numpy and the processor both compute with
_NAMED = 3  # how many unknown inputs an error names


def check_ports(
    file: object, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> None:
    """Raise an InputError that names the `file` unless these are a decoder's ports."""
    unknown = [port.name for port in inputs if port.role == "unknown"]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        what = f"inputs that are not known here: {', '.join(unknown[:_NAMED])}{more}"
        only = "only decoders that take token ids, a mask, positions and a KV cache"
        way_out = f"{only} can be run, not encoder-decoder or vision models"
        raise InputError(f"{file} has {what}; {way_out}")
    by_role = {port.role: port for port in (*inputs, *outputs)}
    for role, name in (("token ids", "input_ids"), ("logits", "logits")):
        if role not in by_role:
            only = "only decoders that take token ids and return logits can be run"
            way_out = f"{only}, not encoders or embedding models"
            raise InputError(f"{file} has no port {name!r}; {way_out}")
    past, present = cache_ports(inputs), cache_ports(outputs)
    pairs = [[(p.layer, p.role.split()[1]) for p in side] for side in (past, present)]
    if not past or pairs[0] != pairs[1]:
        what = f"{len(past)} cache inputs (past_key_values.0.key …) and {len(present)}"
        wanted = "but needs one for one; export the model with its KV cache"
        raise InputError(f"{file} has {what} outputs (present.0.key …), {wanted}")
    for port in past:
        sizes = port.shape[1::2]  # kv_heads and head_dim
        if len(port.shape) != len(_CACHE_AXES) or sizes != past[0].shape[1::2]:
            wanted = f"the axes {', '.join(_CACHE_AXES)}, alike in all layers"
            what = f"has a cache input {port.name!r} of shape {port.shape}"
            raise InputError(f"{file} {what}; wanted are {wanted}")
    logits = by_role["logits"]
    for port in (logits, *past, *present):
        dtype = port.dtype if port is logits else past[0].dtype
        if port.dtype not in _FLOATS or port.dtype != dtype:
            only = "only caches all of float32 or all of float16 can be run"
            what = f"{file} has {port.name!r} of {port.dtype}; {only}"
            raise InputError(f"{what}, so export the model with one of these")
