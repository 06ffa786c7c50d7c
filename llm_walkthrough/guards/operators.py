"""Whole numbers that operators of a graph are told, held against what they can mean.

onnxruntime keeps many of them in 32 bits and divides by them: 2^32 heads become 0, and
end the process. Knows nothing of files, nor of what operators compute.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import onnx

_INT32 = (-(2**31), 2**31 - 1)
_RANGES = {  # the least and the most under a name, for every operator that has it
    "num_heads": (0, 2**16),  # 0: as the shapes say
    "kv_num_heads": (0, 2**16),
    "bits": (1, 16),
    "block_size": (1, 2**16),
    "axis": (-16, 16),
    "batch_dims": (0, 16),
}
_UNBOUND = {"Constant", "Slice"}  # "to the very end" is 2^63 - 1


def faults(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Yield a clause for each number that is out of its range, as "… must be …"."""
    for node in (node for node in nodes if node.op_type not in _UNBOUND):
        for one in node.attribute:
            least, most = _RANGES.get(one.name, _INT32)
            if one.name == "num_outputs":
                least = most = len(node.output)
            whole = [one.i] if one.type == onnx.AttributeProto.INT else one.ints
            for number in (n for n in whole if not least <= n <= most):
                wanted = f"between {least:,} and {most:,}, got {number:,}"
                yield f"{one.name} of {node.op_type} must be {wanted}"
