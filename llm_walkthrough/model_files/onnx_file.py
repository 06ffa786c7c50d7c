"""The graph in an `.onnx` file, whole or refused.

Reads structure only: weights in a data file are measured, not read. Knows nothing of
what the graph computes; `graph` looks at that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from mmap import ACCESS_READ, mmap
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError
from onnx.external_data_helper import ExternalDataInfo, uses_external_data

from llm_walkthrough.errors import FETCH_AGAIN, InputError
from llm_walkthrough.guards.operators import faults
from llm_walkthrough.guards.small_file import is_file, way_out


def load_structure(file: Path) -> onnx.ModelProto:
    """Read the graph, if its weights are there; errors as for both that follow."""
    proto = read_structure(file)
    for fault in weight_faults(file, proto.graph):
        raise InputError(fault)
    return proto


def read_structure(file: Path) -> onnx.ModelProto:
    """Read the graph without the weights that lie in a data file.

    Weights inside the file itself are read with it, and freed with what is returned.

    InputError if the file or a name in it is damaged, or an operator is told what
    nothing can have.
    """
    try:
        # mapped, not read: else weights inside it would be in memory twice
        with (
            file.open("rb") as stream,
            mmap(stream.fileno(), 0, access=ACCESS_READ) as content,
            memoryview(content) as view,
        ):
            proto: onnx.ModelProto = onnx.ModelProto.FromString(view)
    except (DecodeError, OSError, ValueError) as error:  # ValueError: an empty file
        raise InputError(
            f"{file} is not a readable ONNX graph ({error}); {way_out(file)}"
        ) from error
    if not proto.graph.node:  # random bytes may parse as a graph of nothing
        raise InputError(
            f"{file} holds no ONNX nodes ({file.stat().st_size:,} bytes); "
            f"{way_out(file)}"
        )
    for fault in faults(all_nodes(proto.graph)):
        raise InputError(f"{file} has a damaged operator: {fault}; {FETCH_AGAIN}")
    graph = proto.graph
    names = [named.name for named in (*graph.input, *graph.output, *graph.initializer)]
    places = (place for tensor in graph.initializer for place in tensor.external_data)
    names += [text for place in places for text in (place.key, place.value)]
    for name in names:
        # protobuf hands out bytes for what is no UTF-8
        if isinstance(name, bytes) or not name.isprintable():
            raise InputError(f"{file} has a damaged name {name!r}; {FETCH_AGAIN}")
    return proto


def weight_faults(file: Path, graph: onnx.GraphProto) -> Iterator[str]:
    """Yield a sentence for each data file that is missing, cut short or elsewhere.

    InputError if the graph tells no place, or a data file is a Git LFS pointer.
    """
    for location, size in bytes_needed(file, graph).items():
        weights = file.parent / location
        homes = {file.parent.resolve(), file.resolve().parent}  # hubs keep links
        is_out = homes.isdisjoint(Path(os.path.realpath(weights)).parents)
        if Path(location).anchor or ".." in Path(location).parts or is_out:
            yield (
                f"{file} has weights outside its folder, in {location}; export it "
                "again with the weights beside it"
            )
        elif not is_file(weights):
            yield f"{weights} with the weights of {file.name} is missing; {FETCH_AGAIN}"
        elif weights.stat().st_size < size:
            yield (
                f"{weights} is cut short: {weights.stat().st_size:,} of at least "
                f"{size:,} bytes; {way_out(weights)}"
            )


def all_nodes(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return every node, those in the branches of an `If` as well."""
    inner = (a.g for node in graph.node for a in node.attribute if a.HasField("g"))
    return [*graph.node, *(node for branch in inner for node in all_nodes(branch))]


def bytes_needed(file: Path, graph: onnx.GraphProto) -> dict[str, int]:
    """Return how long each data file must be, as far as the graph tells."""
    needed: dict[str, int] = {}
    for tensor in filter(uses_external_data, graph.initializer):
        try:
            where = ExternalDataInfo(tensor)
        except ValueError as error:
            raise InputError(
                f"{file} tells no place of its weights {tensor.name!r} ({error}); "
                f"{FETCH_AGAIN}"
            ) from error
        end = (where.offset or 0) + (where.length or 0)
        needed[where.location] = max(end, needed.get(where.location, 0))
    return needed
