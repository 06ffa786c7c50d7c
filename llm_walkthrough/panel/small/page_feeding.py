"""How is the dictionary of a run drawn, and how its lengths fit each other?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import back, framed, head, notice, picture, reset, step
from llm_walkthrough.panel.marks import chip
from llm_walkthrough.panel.page_engine import feed_table
from llm_walkthrough.panel.wording import cut, quoted
from llm_walkthrough.views import Code, Passage, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.small.feeding import FedRun, FedRuns
    from llm_walkthrough.views import Vocabulary

_FEW = 6  # numbers of an array that are written out


def page(shot: FedRuns, vocabulary: Vocabulary) -> str:
    """Draw the run that is looked at."""
    count = shot.now.num_shown
    buttons = (
        back("look at the run before", can_go=count > 1),
        step("make the next run, and look at it", can_go=True),
        reset("back to the first run", can_go=count > 1),
    )
    where = f"run <b>{count}</b>: {_kind(shot)}"
    return framed(
        f"{head(buttons, where)}{notice(_said(shot, vocabulary))}"
        f'<div class="lw-grid lw-halves"><div>{_dictionary(shot, vocabulary)}</div>'
        f"<div>{_lengths(shot)}{_outcome(shot, vocabulary)}</div></div>",
        title="What is fed to the graph",
    )


def twin(shot: FedRuns, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    run = shot.shown[-1]
    rows = [
        (
            Code(array.name),
            Code(array.dtype),
            Code(list(array.shape)),
            array.count,
            f"{array.nbytes:,}",
        )
        for array in run.feed.arrays
    ]
    title = f"Run {len(shot.shown)}, {_kind(shot)}: the dictionary"
    table = Table(("name", "dtype", "shape", "arrays", "bytes"), rows, title)
    piece = cut(vocabulary.piece(run.chosen))
    length = f"cache length {run.start} → {run.stop}"
    words = "\n".join((_equation(run), length, f"likeliest next: {piece}"))
    return picture(table, Passage(words, "How the lengths fit"))


def _kind(shot: FedRuns) -> str:
    return "prefill" if len(shot.shown) == 1 else "decode"


def _equation(run: FedRun) -> str:
    new = len(run.feed.tokens)
    if run.mask_width is None:
        return f"{run.start} past + {new} new = {run.start + new}; no mask is wanted"
    return f"mask width {run.mask_width} = {run.start} past + {new} new"


def _said(shot: FedRuns, vocabulary: Vocabulary) -> Notice:
    """Return what there is to say, and else what is special about this run."""
    if shot.now.notice.text:
        return shot.now.notice
    run = shot.shown[-1]
    if len(shot.shown) == 1:
        words = "All of the prompt is new, and the past of every layer has length 0."
        return Notice(words, "hint")
    piece = quoted(vocabulary.piece(run.feed.tokens[0]))
    words = (
        f"One token is new: {piece}, the likeliest of the run before; the past holds "
        "all others."
    )
    return Notice(words, "hint")


def _dictionary(shot: FedRuns, vocabulary: Vocabulary) -> str:
    run = shot.shown[-1]
    before = shot.shown[-2].feed if len(shot.shown) > 1 else None
    table = feed_table(run.feed, before, vocabulary)
    return (
        '<section class="lw-feed lw-tall">'
        f"<h4>The dictionary of run {len(shot.shown)}</h4>{table}{_contents(run)}"
        "</section>"
    )


def _contents(run: FedRun) -> str:
    """Write the numbers of the small arrays, many of them cut short."""
    lines = [f"input_ids = {_numbers(run.feed.tokens)}"]
    if run.mask_width is not None:
        lines.append(f"attention_mask = {_numbers((1,) * run.mask_width)}")
    rows = "<br>".join(map(html.escape, lines))
    return f'<p class="lw-mono lw-contents">{rows}</p>'


def _numbers(values: tuple[int, ...]) -> str:
    if len(values) > _FEW:
        start, end = values[: _FEW - 2], values[-2:]
        words = f"{', '.join(map(str, start))}, …, {', '.join(map(str, end))}"
        return f"[[{words}]]"
    return f"[[{', '.join(map(str, values))}]]"


def _lengths(shot: FedRuns) -> str:
    """Draw past, new tokens, mask and cache on one scale."""
    run, longest = shot.shown[-1], shot.now.runs[-1].stop
    new = len(run.feed.tokens)
    strips = [("past", 0, run.start, 0), ("input_ids", run.start, 0, new)]
    if run.mask_width is not None:
        strips.append(("attention_mask", 0, run.start, new))
    strips.append(("cache afterwards", 0, run.start, new))
    rows = "".join(_strip(name, parts, longest) for name, *parts in strips)
    words = f"{_equation(run)}; the cache grows from {run.start} to {run.stop}."
    return (
        '<section class="lw-lengths"><h4>How the lengths fit</h4>'
        f'<div class="lw-strips" role="img" aria-label="{words}">{rows}</div>'
        f'<p class="lw-mono"><b>{_equation(run)}</b><br>'
        f"cache length <b>{run.start} → {run.stop}</b></p></section>"
    )


def _strip(name: str, parts: Sequence[int], longest: int) -> str:
    """Draw one length: a gap, what was there, and what is new, of the longest one."""
    gap, old, new = parts
    widths = (gap, old, new, longest - gap - old - new)
    styles = ("lw-gap", "lw-c-prompt", "lw-c-new", "lw-gap")
    drawn = "".join(
        f'<i class="{style}" style="flex:{width}"></i>'
        for style, width in zip(styles, widths, strict=True)
        if width
    )
    return f"<span>{name}</span><span>{drawn}</span><b>{old + new}</b>"


def _outcome(shot: FedRuns, vocabulary: Vocabulary) -> str:
    run = shot.shown[-1]
    return (
        '<section><h4>What comes out</h4><p><span class="lw-mono">'
        f"logits [1, {len(run.feed.tokens)}, {shot.vocab}]</span></p>"
        '<p class="lw-one">Highest in the last row, and fed next: '
        f"{chip(vocabulary.piece(run.chosen))}</p></section>"
    )
