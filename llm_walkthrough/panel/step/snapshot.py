"""What does a picture of one moment need?

Values that never change, taken in one go, so that a picture shows one moment only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llm_walkthrough.branch import Run
    from llm_walkthrough.kv_cache import KVCache
    from llm_walkthrough.panel.candidates import Distribution
    from llm_walkthrough.panel.step.desk import Desk
    from llm_walkthrough.panel.step.ways import Made, Way
    from llm_walkthrough.panel.watched import FedArray, Score


@dataclass(frozen=True)
class CacheFacts:
    """How large the cache is; shapes as the arrays have them.

    Attributes:
        length: tokens that it holds.
        capacity: tokens that it can hold.
        layers: pairs of a key and a value array.
        kv_heads: heads that own a key and a value.
        head_dim: numbers in one key.
        number_bytes: bytes of one number.
    """

    length: int
    capacity: int
    layers: int
    kv_heads: int
    head_dim: int
    number_bytes: int

    @property
    def row_bytes(self) -> int:
        """Bytes that one token takes."""
        return 2 * self.layers * self.kv_heads * self.head_dim * self.number_bytes


@dataclass(frozen=True)
class Feed:
    """What one run gave to the graph.

    Attributes:
        tokens: the ids that were fed.
        arrays: in the order of the dictionary.
    """

    tokens: tuple[int, ...]
    arrays: tuple[FedArray, ...]


@dataclass(frozen=True)
class Snapshot:
    """Everything that a picture of one moment needs.

    Attributes:
        title: the model, as the panel calls it.
        desk: what the learner has set.
        tokens: all of the active branch, the prompt first.
        prompt_length: how many of them are the prompt.
        read: position to score, for tokens of the prompt.
        made: what is known of each token after the prompt.
        future: tokens that were taken back and not yet replaced by others.
        distribution: what may come next; None if nothing can.
        why_none: the reason for that.
        ways: the branches.
        cache: its size.
        feeds: what the last two runs of `runs` were fed, the newer one last.
        runs: of the graph, on the active branch.
    """

    title: str
    desk: Desk
    tokens: tuple[int, ...]
    prompt_length: int
    read: Mapping[int, Score]
    made: tuple[Made | None, ...]
    future: tuple[int, ...]
    distribution: Distribution | None
    why_none: str
    ways: tuple[Way, ...]
    cache: CacheFacts
    feeds: tuple[Feed, ...]
    runs: tuple[Run, ...]


def cache_facts(cache: KVCache) -> CacheFacts:
    """Read the facts off the arrays of a cache."""
    arrays = cache.arrays()
    one = next(iter(arrays.values()))
    _, kv_heads, length, head_dim = one.shape
    return CacheFacts(
        length, cache.capacity, len(arrays) // 2, kv_heads, head_dim, one.itemsize
    )
