"""The cache as a map, and the arrays that a run was fed as a table."""

from __future__ import annotations

import html

from llm_walkthrough.panel.watched import CacheFacts, FedArray, Feed
from llm_walkthrough.panel.wording import shortened
from llm_walkthrough.views import Vocabulary, byte_count

_NARROW = 140  # positions; with more of them a line between two would hide them
_PIECES = 3


def cache_section(facts: CacheFacts, prompt_length: int, written: int) -> str:
    """Draw a cache: the prompt, what was made, and what the last run has written."""
    old = facts.length - written
    parts = {
        "lw-c-prompt": min(old, prompt_length),
        "lw-c-made": max(0, old - prompt_length),
        "lw-c-new": written,
    }
    narrow = " lw-fine" if facts.length > _NARROW else ""
    columns = "".join(
        f'<span class="{style}" style="flex:{count};--n:{count}"></span>'
        for style, count in parts.items()
        if count
    )
    last = facts.length - 1
    slots = f"slot {last}" if written == 1 else f"slots {old} to {last}"
    slots = slots if written else "nothing"
    words = (
        f"Cache: {facts.layers} layers by {facts.length} positions; the last run wrote "
        f"{slots}."
    )
    used = 100 * facts.length / facts.capacity
    return (
        '<section class="lw-cache"><h4>KV cache</h4>'
        f'<div class="lw-map{narrow}" role="img" aria-label="{words}" '
        f'style="--layers:{facts.layers}">{columns}</div>'
        '<div class="lw-legend">'
        f"<span><i class=lw-c-prompt></i>prompt {parts['lw-c-prompt']}</span>"
        f"<span><i class=lw-c-made></i>made {parts['lw-c-made']}</span>"
        f"<span><i class=lw-c-new></i>written now, {slots}</span></div>"
        f'<p class="lw-mono">{facts.layers} layers × K,V × {facts.kv_heads} kv_heads × '
        f"<b>{facts.length}</b> × {facts.head_dim} × {facts.number_bytes} B = "
        f"<b>{byte_count(facts.length * facts.row_bytes)}</b></p>"
        '<div class="lw-fill" aria-hidden="true">'
        f'<i style="width:{used:.2f}%"></i></div>'
        f'<p class="lw-mono lw-soft">at {facts.capacity:,} tokens: '
        f"{byte_count(facts.capacity * facts.row_bytes)}</p></section>"
    )


def feed_table(feed: Feed, before: Feed | None, vocabulary: Vocabulary) -> str:
    """Write a row for each kind of array, with what changed since another feed."""
    shapes = {array.name: array.shape for array in before.arrays} if before else {}
    rows = "".join(
        _feed_row(array, shapes.get(array.name), feed, vocabulary)
        for array in feed.arrays
    )
    return (
        '<table class="lw-feed-table"><thead><tr><th>name, dtype, shape</th>'
        f'<th class="lw-num">bytes, what is new</th></tr></thead><tbody>{rows}</tbody>'
        "</table>"
    )


def _feed_row(
    array: FedArray, before: tuple[int, ...] | None, feed: Feed, vocabulary: Vocabulary
) -> str:
    name = html.escape(array.name)
    count = f' <span class="lw-soft">×{array.count}</span>' if array.count > 1 else ""
    old = before if before and len(before) == len(array.shape) else array.shape
    axes = ", ".join(
        f"<b>{new}</b>" if new != was else str(new)
        for new, was in zip(array.shape, old, strict=True)
    )
    change = _change(array, before, feed, vocabulary)
    return (
        f'<tr><td>{name}{count}</td><td class="lw-num">{byte_count(array.nbytes)}</td>'
        f"</tr><tr><td>{html.escape(array.dtype)} [{axes}]</td>"
        f'<td class="lw-num lw-change">{change}</td></tr>'
    )


def _change(
    array: FedArray, before: tuple[int, ...] | None, feed: Feed, vocabulary: Vocabulary
) -> str:
    if "input_ids" in array.name:
        pieces = [shortened(vocabulary.piece(token)) for token in feed.tokens[:_PIECES]]
        more = len(feed.tokens) - len(pieces)
        return " ".join(pieces) + (f" … and {more} more" if more > 0 else "")
    if before is None:
        return "the first run"
    grown = [a - b for a, b in zip(array.shape, before, strict=True) if a != b]
    return f"{grown[0]:+,} wide" if grown else "the same shape"
