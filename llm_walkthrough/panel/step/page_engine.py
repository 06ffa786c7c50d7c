"""How are the cache, what was fed to the graph, and the times drawn?"""

from __future__ import annotations

import html
from itertools import takewhile
from statistics import median
from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import shortened
from llm_walkthrough.views import byte_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.branch import Run
    from llm_walkthrough.panel.step.snapshot import CacheFacts, Feed, Snapshot
    from llm_walkthrough.panel.watched import FedArray
    from llm_walkthrough.views import Vocabulary

_NARROW = 140  # positions; with more of them a line between two would hide them
_NEWEST = 32  # runs whose median is the speed of decoding
_PIECES = 3
REST = "<rest></rest>"
"""Stands in the page where the time of everything but the model goes; no token that is
written there can look like it."""


def cache_section(shot: Snapshot) -> str:
    """Draw layers by positions, with what was written last, and the bytes."""
    facts = shot.cache
    written = len(shot.feeds[-1].tokens) if shot.feeds else 0
    return (
        f'<section class="lw-cache"><h4>KV cache</h4>'
        f"{cache_map(facts, shot.prompt_length, written)}</section>"
    )


def cache_map(facts: CacheFacts, prompt_length: int, written: int) -> str:
    """Draw the map of a cache.

    Args:
        facts: its size.
        prompt_length: how many of the tokens are the prompt.
        written: how many of them the last run has written.
    """
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
        f"{byte_count(facts.capacity * facts.row_bytes)}</p>"
    )


def feed_section(shot: Snapshot, vocabulary: Vocabulary) -> str:
    """List the arrays that the last run was fed, and what is new in them."""
    table = ""
    if shot.feeds:
        before = shot.feeds[0] if len(shot.feeds) > 1 else None
        table = feed_table(shot.feeds[-1], before, vocabulary)
    return (
        '<section class="lw-feed"><h4>Fed to the graph in this run</h4>'
        f"{table}</section>"
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


def foot(shot: Snapshot) -> str:
    """Write the times: of this step, of reading and of writing."""
    words = []
    if shot.runs:
        model = shot.runs[-1].seconds
        words.append(f"model <b>{1000 * model:.1f} ms</b>")
        rest = "–" if shot.desk.step_seconds is None else REST
        words.append(f"everything else <b>{rest}</b>")
        words += _speeds(shot.runs, shot.prompt_length)
    spans = "".join(f"<span>{word}</span>" for word in words)
    keys = "→ step · ← back · ↑↓ candidates · Enter takes · Tab to all the rest"
    return f'<div class="lw-foot"><p>{spans}</p><p class="lw-keys">{keys}</p></div>'


def _speeds(runs: Sequence[Run], prompt_length: int) -> list[str]:
    read = [*takewhile(lambda run: run.stop <= prompt_length, runs)]
    count, seconds = sum(len(run.tokens) for run in read), sum(r.seconds for r in read)
    words = [f"prefill {count} tokens, <b>{count / seconds:,.0f} tokens/s</b>"]
    newest = [run for run in runs[-_NEWEST:] if run.start >= prompt_length]
    steps = [run.seconds for run in newest if len(run.tokens) == 1]
    rate = f"{1 / median(steps):,.0f}" if steps else "–"
    words.append(f"decode <b>{rate} tokens/s</b>")
    return words


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
    grown = [
        new - was for new, was in zip(array.shape, before, strict=True) if new != was
    ]
    return f"{grown[0]:+,} wide" if grown else "the same shape"
