"""How is the race drawn: the work of both ways as bars, beside a map of the cache?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import (
    framed,
    head,
    notice,
    picture,
    reset,
    run_or_stop,
    step,
)
from llm_walkthrough.panel.marks import attributes
from llm_walkthrough.panel.page_engine import cache_map
from llm_walkthrough.panel.page_tokens import SHOWN_OF_MADE, earlier
from llm_walkthrough.panel.wording import cut, quoted, shortened
from llm_walkthrough.views import Chips, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.small.race import Raced, Round
    from llm_walkthrough.views import Vocabulary

_WAYS = ("with the cache", "without")
_LAST = 60  # tokens in the picture without a kernel


def page(shot: Raced, vocabulary: Vocabulary) -> str:
    """Draw the race."""
    now = shot.now
    has_begun = len(now.rounds) > 0
    buttons = (
        step("make one token in both ways", can_go=True),
        run_or_stop("make token after token", is_running=now.running, can_go=True),
        reset("back to the prompt, with an empty cache", can_go=has_begun),
    )
    where = f"step <b>{len(now.rounds)}</b> · cache length <b>{shot.cache.length:,}</b>"
    return framed(
        f"{head(buttons, where)}{notice(_said(shot, vocabulary))}"
        f'<div class="lw-grid"><div>{_work(now.rounds)}{_tokens(shot, vocabulary)}'
        f"</div><div>{_cache(shot)}</div></div>",
        title="With and without a cache",
        tick=0 if now.running else None,
    )


def twin(shot: Raced, vocabulary: Vocabulary) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    rounds = shot.now.rounds
    rows = [
        (part, way, f"{tokens:,}", f"{1000 * seconds:,.1f} ms")
        for part, some in _parts(rounds)
        for way, tokens, seconds in _both(some)
    ]
    pieces = [cut(vocabulary.piece(one.cached.chosen)) for one in rounds[-_LAST:]]
    same = sum(one.is_same for one in rounds)
    title = f"{len(rounds)} steps; both ways chose the same token in {same} of them"
    return picture(
        Table(("", "way", "tokens fed", "time"), rows, "The race"), Chips(pieces, title)
    )


def _said(shot: Raced, vocabulary: Vocabulary) -> Notice:
    """Return what there is to say, and else what the last step showed."""
    now = shot.now
    if now.notice.text:
        return now.notice
    if not now.rounds:
        words = (
            f"Step feeds the {shot.prompt_length:,} tokens of the prompt, both ways."
        )
        return Notice(words, "hint")
    last = now.rounds[-1]
    cached, plain = (
        quoted(vocabulary.piece(o.chosen)) for o in (last.cached, last.plain)
    )
    if not last.is_same:
        words = (
            f"With the cache {cached} was likeliest, without it {plain}: rounding "
            "decided between the two; both ways go on with the first."
        )
        return Notice(words)
    if len(now.rounds) == 1:
        words = f"Both chose {cached}, and had the same work: the cache was empty."
        return Notice(words, "hint")
    words = (
        f"Both chose {cached}: {last.cached.fed} token fed against {last.plain.fed}."
    )
    return Notice(words, "hint")


def _work(rounds: Sequence[Round]) -> str:
    """Draw tokens and times of both ways, of this step and in all."""
    rows = "".join(_rows(part, some) for part, some in _parts(rounds))
    return (
        '<section class="lw-race"><h4>The work</h4><table><thead><tr>'
        '<th><span class="lw-sr">way</span></th><th>tokens fed</th>'
        f"<th>milliseconds</th></tr></thead>{rows}</table>"
        f'<p class="lw-soft">{_ratio(rounds)}</p></section>'
    )


def _parts(rounds: Sequence[Round]) -> tuple[tuple[str, Sequence[Round]], ...]:
    return ("this step", rounds[-1:]), ("in all", rounds)


def _both(rounds: Sequence[Round]) -> list[tuple[str, int, float]]:
    """Return name, tokens and seconds of each way."""
    ways = ([one.cached for one in rounds], [one.plain for one in rounds])
    return [
        (name, sum(lap.fed for lap in laps), sum(lap.seconds for lap in laps))
        for name, laps in zip(_WAYS, ways, strict=True)
    ]


def _rows(part: str, rounds: Sequence[Round]) -> str:
    both = _both(rounds)
    most = max(*(tokens for _, tokens, _ in both), 1)
    slowest = max(*(seconds for _, _, seconds in both), 1e-9)
    rows = "".join(
        f'<tr class="lw-way-{number}"><td>{name}</td>'
        f"<td>{_meter(tokens / most, f'{tokens:,}')}</td>"
        f"<td>{_meter(seconds / slowest, f'{1000 * seconds:,.1f}')}</td></tr>"
        for number, (name, tokens, seconds) in enumerate(both)
    )
    heading = f'<tr><th colspan="3" scope="rowgroup">{part}</th></tr>'
    return f"<tbody>{heading}{rows}</tbody>"


def _meter(share: float, words: str) -> str:
    """Draw a number as a bar with the number behind it."""
    bar = f'<i style="width:{100 * share:.2f}%"></i>' if share else ""
    return (
        f'<span class="lw-meter"><span aria-hidden="true">{bar}</span>'
        f"<b>{words}</b></span>"
    )


def _ratio(rounds: Sequence[Round]) -> str:
    if not rounds:
        return "&nbsp;"
    (_, fed, seconds), (_, plain_fed, plain_seconds) = _both(rounds)
    return (
        f"Without the cache: {plain_fed / fed:.1f} times the tokens, "
        f"{plain_seconds / seconds:.1f} times the time."
    )


def _tokens(shot: Raced, vocabulary: Vocabulary) -> str:
    """Draw a chip for each token that was made, and whether both ways agree."""
    rounds = shot.now.rounds
    first = max(0, len(rounds) - SHOWN_OF_MADE)
    chips = [earlier(first)] if first else []
    chips += [
        _chip(one, first + i, vocabulary) for i, one in enumerate(rounds[first:], 1)
    ]
    chips.append(
        '<li><span class="lw-chip lw-next" aria-label="the next token">?</span>'
    )
    same = sum(one.is_same for one in rounds)
    counted = f": the same in {same} of {len(rounds)}" if rounds else ""
    return (
        f"<section><h4>Tokens, chosen both ways{counted}</h4>"
        '<ol class="lw-chips lw-short" data-follow tabindex="0" '
        f'aria-label="Tokens that were made">{"</li>".join(chips)}</li></ol></section>'
    )


def _chip(one: Round, number: int, vocabulary: Vocabulary) -> str:
    piece = vocabulary.piece(one.cached.chosen)
    words, sign, style = f"step {number}: both ways chose it", "", "lw-prompt"
    if not one.is_same:
        other = quoted(vocabulary.piece(one.plain.chosen))
        words = f"step {number}: without the cache {other}"
        sign, style = " ≠", "lw-held"
    named = attributes({"class": f"lw-chip {style}", "data-tip": words})
    hidden = f'<span class="lw-sr"> {html.escape(words)}</span>'
    return f"<li><span{named}><bdi>{shortened(piece)}</bdi>{sign}{hidden}</span>"


def _cache(shot: Raced) -> str:
    written = shot.now.rounds[-1].cached.fed if shot.now.rounds else 0
    drawn = cache_map(shot.cache, shot.prompt_length, written)
    return f'<section class="lw-cache"><h4>KV cache</h4>{drawn}</section>'
