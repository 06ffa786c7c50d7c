"""Whether a graph is a decoder that can be run at all, told by its ports.

Knows nothing of how far it can be trusted: `limits` does.
"""

from __future__ import annotations

from llm_walkthrough.errors import InputError
from llm_walkthrough.model_files.ports import Port, cache_ports

_ANY, _OPEN = "any", -1  # of an axis: a size or a name; a name alone
_FED = {  # the axes of what `model` feeds; 1 is a batch of one text, or a name
    **dict.fromkeys(("past key", "past value"), (1, _ANY, _OPEN, _ANY)),
    **dict.fromkeys(("token ids", "attention mask", "position ids"), (1, _OPEN)),
    **dict.fromkeys(("cache branch", "logits to keep"), (1,)),
}
_LOGITS = (1, 1, _ANY)  # for the last token alone, or by a name for all that are fed
_FLOATS = ("float32", "float16")  # what numpy and the processor both compute with
_NAMED = 3  # how many unknown inputs an error names


def check_ports(
    file: object, inputs: tuple[Port, ...], outputs: tuple[Port, ...]
) -> None:
    """Raise an InputError that names the `file` unless these are a decoder's ports."""
    unknown = [port.name for port in inputs if port.role not in _FED]
    if unknown:
        more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
        what = f"inputs that are not known here: {', '.join(unknown[:_NAMED])}{more}"
        only = "only decoders that take token ids, a mask, positions and a KV cache"
        way_out = f"{only} can be run, not encoder-decoder or vision models"
        raise InputError(f"{file} has {what}; {way_out}")
    scores = [port for port in outputs if port.role == "logits"]
    for ports, name in ((inputs, "input_ids"), (scores, "logits")):
        if all(port.role not in ("token ids", "logits") for port in ports):
            only = "only decoders that take token ids and return logits can be run"
            way_out = f"{only}, not encoders or embedding models"
            raise InputError(f"{file} has no port {name!r}; {way_out}")
    past, present = cache_ports(inputs), cache_ports(outputs)
    pairs = [[(p.layer, p.role.split()[1]) for p in side] for side in (past, present)]
    if not past or pairs[0] != pairs[1]:
        what = f"{len(past)} cache inputs (past_key_values.0.key …) and {len(present)}"
        wanted = "but needs one for one; export the model with its KV cache"
        raise InputError(f"{file} has {what} outputs (present.0.key …), {wanted}")
    for port in (*inputs, *scores):
        is_alike = port.layer is None or port.shape[1::2] == past[0].shape[1::2]
        if not (is_alike and _takes_any_text(port)):
            wanted = "wanted is an open length, a batch of one, and all layers alike"
            what = f"{file} has {port.name!r} of shape {port.shape}; {wanted}"
            raise InputError(f"{what}: export it again, with dynamic axes")
    logits = scores[0]
    for port in (logits, *past, *present):
        dtype = port.dtype if port is logits else past[0].dtype
        if port.dtype not in _FLOATS or port.dtype != dtype:
            only = "only caches all of float32 or all of float16 can be run"
            what = f"{file} has {port.name!r} of {port.dtype}; {only}"
            raise InputError(f"{what}, so export the model with one of these")


def _takes_any_text(port: Port) -> bool:
    axes, shape = _FED.get(port.role, _LOGITS), port.shape
    if not shape and port.layer is None:  # the file does not tell
        return True
    return len(axes) == len(shape) and all(
        isinstance(size, str) or axis in (size, _ANY)
        for axis, size in zip(axes, shape, strict=True)
    )
