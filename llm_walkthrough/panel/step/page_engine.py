"""How are the cache, what was fed to the graph, and the times drawn?"""

from __future__ import annotations

from itertools import takewhile
from statistics import median
from typing import TYPE_CHECKING

from llm_walkthrough.panel.page_engine import cache_map, feed_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.branch import Run
    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.views import Vocabulary

_NEWEST = 32  # runs whose median is the speed of decoding
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
