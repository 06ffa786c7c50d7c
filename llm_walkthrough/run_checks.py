"""Can these tokens be run, and is what came back what was wanted?

What onnxruntime would answer with an error of its own, or, worse, with numbers that
look right, is said here in one sentence. Knows nothing of sessions.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from llm_walkthrough.errors import InputError

if TYPE_CHECKING:
    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.graph import Graph
    from llm_walkthrough.kv_cache import KVCache


def check_capacity(graph: Graph, capacity: int) -> None:
    """Make sure that a cache of this capacity fits the model.

    Raises:
        InputError: the capacity is not between 1 and the context length.
    """
    if not 1 <= capacity <= graph.context_length:
        raise InputError(
            f"the capacity must be between 1 and the context of "
            f"{graph.context_length:,}, got {capacity:,}; leave it out for the whole "
            "context"
        )


def check_tokens(graph: Graph, unseen: TokenIds, cache: KVCache) -> None:
    """Make sure that these tokens can follow what the cache holds.

    Raises:
        InputError: no token, something else than a row of ids, an id that is not in the
            vocabulary, or more tokens than the cache has room for.
    """
    if unseen.size == 0:
        raise InputError("there is no token to run; give at least one token id")
    if unseen.ndim != 1 or unseen.dtype.kind not in "iu":
        raise InputError(
            f"token ids must be whole numbers in one row, got {unseen.dtype} of shape "
            f"{unseen.shape}; encode the text with the model's tokenizer"
        )
    ids = unseen.tolist()
    lowest, highest = min(ids), max(ids)
    if lowest < 0 or highest >= graph.vocab:
        wrong = lowest if lowest < 0 else highest
        raise InputError(
            f"token id {wrong} is not in 0 … {graph.vocab - 1}; encode the text with "
            "the tokenizer of this very model"
        )
    total = cache.length + len(unseen)
    if total > cache.capacity:
        raise InputError(
            f"{total:,} tokens do not fit into {cache.capacity:,}; shorten the prompt "
            "or make the cache larger, if the model's context allows"
        )


def check_grown(
    graph: Graph, unseen: TokenIds, before: KVCache, after: KVCache
) -> None:
    """Make sure that the graph kept every token.

    Raises:
        InputError: it did not, so that the cache could not be cut back.
    """
    total = before.length + len(unseen)
    if after.length != total:
        raise InputError(
            f"{graph.path} keeps {after.length:,} of {total:,} tokens; a cache that "
            "drops tokens, as with a sliding window, cannot be cut back: choose "
            "another model"
        )


def check_logits(graph: Graph, unseen: TokenIds, logits: LogitsRows) -> None:
    """Make sure that there is a row for each token, and that the last one is sound.

    Only the last row is read: what is wrong in the cache is wrong in every later row.

    Raises:
        InputError: another shape than [sequence, vocab], or NaN or infinity.
    """
    wanted = (len(unseen), graph.vocab)
    if logits.shape != wanted:
        raise InputError(
            f"{graph.path} returned logits of shape {logits.shape}, wanted {wanted}; "
            "correct vocab_size in the configuration beside it"
        )
    last = logits[-1]
    if not math.isfinite(last[last.argmax()]):  # argmax finds a NaN before any number
        raise InputError(
            f"the logits hold NaN or infinity; the weights in {graph.path.parent} are "
            "damaged or overflow their type: fetch or convert the model again"
        )
