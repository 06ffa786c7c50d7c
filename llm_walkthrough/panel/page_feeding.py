"""How is the dictionary of a run drawn, and how its lengths fit each other?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.desk import Notice
from llm_walkthrough.panel.marks import chip, cut
from llm_walkthrough.panel.page import framed, notice
from llm_walkthrough.panel.page_engine import feed_table
from llm_walkthrough.panel.page_small import back, head, picture, reset, step
from llm_walkthrough.views import Code, Passage, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.feeding import FedRun, FedRuns
    from llm_walkthrough.views import Vocabulary

_FEW = 6  # numbers of an array that are written out


def page(shot: FedRuns, vocabulary: Vocabulary) -> str:
    """Draw the run that is looked at."""
    count = shot.now.num_shown
    buttons = (
        back("look at the run before", can_go=count > 0),
        step("make the next run, and look at it", can_go=True),
        reset("back to before the first run", can_go=count > 0),
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
    if not shot.shown:
        return picture(Passage("Nothing was run yet.", "The feed"))
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
    names = ("nothing was run yet", "prefill", "decode")
    return names[min(shot.now.num_shown, 2)]


def _equation(run: FedRun) -> str:
    new = len(run.feed.tokens)
    if run.mask_width is None:
        return f"{run.start} past + {new} new = {run.start + new}; no mask is wanted"
    return f"mask width {run.mask_width} = {run.start} past + {new} new"


def _said(shot: FedRuns, vocabulary: Vocabulary) -> Notice:
    """Return what there is to say, and else what is special about this run."""
    if shot.now.notice.text:
        return shot.now.notice
    if not shot.shown:
        words = (
            f"Step runs the prompt, {shot.prompt_length:,} tokens, on an empty past."
        )
        return Notice(words, "hint")
    run = shot.shown[-1]
    if len(shot.shown) == 1:
        words = "All of the prompt is new, and the past of every layer has length 0."
        return Notice(words, "hint")
    piece = vocabulary.piece(run.feed.tokens[0])
    words = (
        f"One token is new: {piece}, the likeliest of the run before; the past holds "
        "all others."
    )
    return Notice(words, "hint")


def _dictionary(shot: FedRuns, vocabulary: Vocabulary) -> str:
    table = '<p class="lw-soft">Nothing yet: press Step.</p>'
    if shot.shown:
        run = shot.shown[-1]
        before = shot.shown[-2].feed if len(shot.shown) > 1 else None
        table = feed_table(run.feed, before, vocabulary) + _contents(run)
    title = f"The dictionary of run {len(shot.shown)}" if shot.shown else "The feed"
    return f'<section class="lw-feed lw-tall"><h4>{title}</h4>{table}</section>'


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
    if not shot.shown:
        rows, words, equation = "", "Nothing was run yet.", "&nbsp;"
    else:
        run = shot.shown[-1]
        new, longest = len(run.feed.tokens), shot.now.runs[-1].stop
        strips = [("past", 0, run.start, 0), ("input_ids", run.start, 0, new)]
        if run.mask_width is not None:
            strips.append(("attention_mask", 0, run.start, new))
        strips.append(("cache afterwards", 0, run.start, new))
        rows = "".join(_strip(name, parts, longest) for name, *parts in strips)
        words = f"{_equation(run)}; the cache grows from {run.start} to {run.stop}."
        equation = f"{_equation(run)}<br>cache length <b>{run.start} → {run.stop}</b>"
    return (
        '<section class="lw-lengths"><h4>How the lengths fit</h4>'
        f'<div class="lw-strips" role="img" aria-label="{words}">{rows}</div>'
        f'<p class="lw-mono lw-two">{equation}</p></section>'
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
    words = "&nbsp;"
    if shot.shown:
        run = shot.shown[-1]
        shape = f"[1, {len(run.feed.tokens)}, {shot.vocab}]"
        words = (
            f'<span class="lw-mono">logits {shape}</span><br>The last row is highest '
            f"at {chip(vocabulary.piece(run.chosen))}, which the next run is fed."
        )
    return f'<section><h4>What comes out</h4><p class="lw-two">{words}</p></section>'
