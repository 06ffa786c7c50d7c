"""The page of the step panel: one moment as HTML, from the head to the times.

Pure but for the seconds that the foot shows: the same snapshot gives the same string,
without a random name, a script or anything from the network. The candidates, the map of
the cache and the feed are drawn by files that small panels use, too.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from itertools import takewhile
from statistics import median

from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.page_candidates import candidates_section, plots
from llm_walkthrough.panel.page_engine import cache_section, feed_table
from llm_walkthrough.panel.step.branches import Made, NamedBranch
from llm_walkthrough.panel.step.looking import TAB
from llm_walkthrough.panel.step.page_inside import inside_section, tables
from llm_walkthrough.panel.step.walk import ASKS, DELAYS, LIMITS, Snapshot
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.panel.wording import in_tokens, percent
from llm_walkthrough.speculation import GuessCount
from llm_walkthrough.tokenizer import TextStream, Tokenizer
from llm_walkthrough.views import Chips, visible

_HOW = {"drawn": "drawn", "own u": "drawn with your u", "chosen": "your choice"}
_MARKS = {
    "held": " · held back: not yet a character",
    "guessed": " · a guess that was kept: it took no run of its own",
    "": "",
}
_TAIL = 80  # characters of a branch's text
_NEWEST = 32  # runs whose median is the speed of decoding
_LAST = 60  # tokens in the picture without a kernel


def page(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw the whole panel."""
    start = shot.prompt_length
    first = max(0, start - frame.SHOWN_OF_PROMPT)
    labels = {n: n for n in _SIDES} | {"Branches": f"Branches {len(shot.branches)}"}
    side = shot.desk.side if shot.desk.side in _SIDES else next(iter(_SIDES))
    shown = {"shot": shot, "tokenizer": tokenizer, "tabs": labels, "side": side}
    shown |= {"limits": LIMITS, "delays": DELAYS, "asks": ASKS}
    return filled(
        "panel/step/step.html",
        end_of_prompt=_end_of_prompt(tokenizer, shot.tokens[first:start]),
        prompt=_prompt_chips(shot, tokenizer, first),
        chips=_chips(shot, tokenizer),
        candidates=_candidates(shot, tokenizer),
        side_shown=_SIDES[side](shot, tokenizer),
        foot=partial(foot, shot),
        **shown,
    )


def twin(shot: Snapshot, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    pieces = [tokenizer.piece(token) for token in shot.tokens[-_LAST:]]
    context = f"context {len(shot.tokens)} of {shot.cache.capacity:,}"
    title = f"Step panel: {shot.title}, step {len(shot.made)}, {context}"
    pictures = plots(shot.distribution, tokenizer) if shot.distribution else ()
    looked = tables(shot, tokenizer)
    return frame.picture(Chips(pieces, title), *pictures, *looked, between="\n")


# --- what may come next ------------------------------------------------------------
def _candidates(shot: Snapshot, tokenizer: Tokenizer) -> str:
    found, desk, instead = shot.distribution, shot.desk, ""
    if found is None:
        instead = f'<p class="lw-nothing">Nothing: {html.escape(shot.why_none)}</p>'
    elif desk.is_guessing:  # in the order of the alphabet
        pieces = sorted((tokenizer.piece(row.token), row.token) for row in found.rows)
        shown = {"pieces": pieces, "position": found.position, "score": desk.guesses}
        instead = filled("panel/step/guess.html", **shown)
    return candidates_section(found, desk, tokenizer, can_take=True, instead=instead)


# --- the tokens so far -------------------------------------------------------------
def _prompt_chips(shot: Snapshot, tokenizer: Tokenizer, first: int) -> Iterator[str]:
    """Draw a chip for each token of the prompt from the `first` one on."""
    yield from frame.earlier(first)
    for place in range(first, shot.prompt_length):
        yield _prompt_chip(tokenizer, place, shot.tokens[place], shot.read.get(place))


def _chips(shot: Snapshot, tokenizer: Tokenizer) -> Iterator[str]:
    """Draw a chip for each token after the prompt, and for those that were there."""
    start = shot.prompt_length
    made = [*enumerate(zip(shot.tokens[start:], shot.made, strict=True))]
    held_from = len(made) - _text_so_far(shot, tokenizer).num_held
    guessed = {place for r in shot.runs for place in range(r.stop - r.kept, r.stop)}
    cut = max(0, len(made) - frame.SHOWN_OF_MADE)
    yield from frame.earlier(cut)
    for i, known in made[cut:]:
        marks = "held" * (i >= held_from), "guessed" * (start + i in guessed)
        yield _made_chip(tokenizer, start, i, known, marks)
    yield frame.NEXT_CHIP
    for token in shot.future[: frame.SHOWN_OF_FUTURE]:
        yield frame.future_chip(tokenizer.piece(token))


@lru_cache(maxsize=2)  # it stays from step to step
def _end_of_prompt(tokenizer: Tokenizer, tokens: tuple[int, ...]) -> str:
    """Write the last words of a prompt in one line; a question stands at its end."""
    text = tokenizer.decode(tokens) or tokenizer.decode(tokens, show_special=True)
    text = " ⏎ ".join(filter(None, map(str.strip, text.splitlines())))
    if len(text) <= _TAIL:
        return text
    tail = text[-_TAIL:]
    return f"… {tail.partition(' ')[2] or tail}"  # from a whole word on


def _text_so_far(shot: Snapshot, tokenizer: Tokenizer) -> frame.StreamedText:
    made = shot.tokens[shot.prompt_length :]
    return streamed(tokenizer, made[-frame.SHOWN_OF_MADE :])


@lru_cache(maxsize=1)  # asked for twice by a page
def streamed(tokenizer: Tokenizer, tokens: tuple[int, ...]) -> frame.StreamedText:
    """Spell the tokens; what is not yet a character is held back."""
    stream, parts, num_held = TextStream(tokenizer), [], 0
    for token in tokens:
        parts.append(stream.feed(token))
        num_held = num_held + 1 if stream.pending else 0
    return frame.StreamedText("".join(parts), stream.pending, num_held)


@lru_cache(maxsize=2048)  # from step to step all chips but one are the same
def _prompt_chip(
    tokenizer: Tokenizer, position: int, token: int, score: Score | None
) -> str:
    style = "lw-special" if token in tokenizer.special_tokens else "lw-prompt"
    words = f"prompt, position {position} · {_likely(token, score)}"
    return frame.token_chip(tokenizer.piece(token), style, words)


@lru_cache(maxsize=2048)  # likewise
def _made_chip(
    tokenizer: Tokenizer,
    start: int,  # the length of the prompt
    kept: int,  # tokens after it that stay at a click
    known: tuple[int, Made | None],  # the token, and what is known of it
    marks: tuple[str, ...],  # names of `_MARKS`, or ""
) -> str:
    token, made = known
    score = made.score if made else None
    words = f"position {start + kept} · {_likely(token, score)}"
    if made is not None:
        u = "" if made.u is None else f", u = {made.u:.3f}"
        words += f" · {_HOW[made.how]}{u}"
    words += "".join(_MARKS[mark] for mark in marks) + " · click: go back to here"
    style = " ".join(["lw-made", *(f"lw-{mark}" for mark in marks if mark)])
    if score and "held" not in marks:
        style += f" {frame.tint(score.probability)}"
    return frame.token_chip(tokenizer.piece(token), style, words, kept)


def _likely(token: int, score: Score | None) -> str:
    if score is None:
        return f"id {token}"
    return f"id {token} · {percent(score.probability)} % · rank {score.rank:,}"


# --- the tabs ----------------------------------------------------------------------
def _cache(shot: Snapshot, _tokenizer: Tokenizer) -> str:
    """Draw the cache, and what the last run has written to it, if there was one."""
    written = len(shot.runs[-1].seen) if shot.runs else 0
    return cache_section(shot.cache, shot.prompt_length, written)


def _feed(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what the last run was fed, and what of it is new."""
    table = ""
    if shot.feeds:
        last, before = shot.feeds[-1], shot.feeds[0] if len(shot.feeds) > 1 else None
        table = feed_table(last, before, tokenizer)
    heading = "<h4>Fed to the graph in this run</h4>"
    return f'<section class="lw-feed">{heading}{table}</section>'


def _text(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what the tokens after the prompt spell."""
    return frame.part("text_box", _text_so_far(shot, tokenizer))


def branches_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw each branch from where it parts, with its text and log-probability."""
    here = len(shot.made)  # steps up to where the next one goes on
    longest = max(*(len(branch.tokens) for branch in shot.branches), here, 1)

    def text(branch: NamedBranch) -> str:  # of the tokens that are its own
        end = branch.tokens[branch.fork :][:_TAIL]  # 1 character or more each
        tail = visible(tokenizer.decode(end, show_special=True))
        return tail if len(tail) <= _TAIL else f"{tail[:_TAIL]}…"

    shown = {"branches": shot.branches, "here": here, "longest": longest, "text": text}
    return filled("panel/step/branches.html", **shown)


_SIDES: Mapping[str, Callable[[Snapshot, Tokenizer], str]] = {
    "Cache": _cache,
    "Feed": _feed,
    "Branches": branches_section,
    "Text": _text,
    TAB: inside_section,
}  # the tabs, by name: a further one is one more row


# --- the times ---------------------------------------------------------------------
def foot(shot: Snapshot) -> str:
    """Write the times: of this step, of reading and of writing."""
    if not (runs := shot.runs):
        return filled("panel/step/foot.html", model=None)
    read = [*takewhile(lambda run: run.stop <= shot.prompt_length, runs)]
    count, reading = sum(len(r.tokens) for r in read), sum(r.seconds for r in read)
    newest = [run for run in runs[-_NEWEST:] if run.start >= shot.prompt_length]
    alone = [run.seconds for run in newest if len(run.tokens) == 1]
    decode = 1 / median(alone) if alone else None
    counted = GuessCount.of(runs[len(read) :])
    if guessed := counted if counted.guesses else None:
        decode = sum(len(r.seen) for r in newest) / sum(r.seconds for r in newest)
    step_run = shot.step_run or runs[-1]
    speeds = {"prompt": in_tokens(count), "prefill": count / reading, "decode": decode}
    step = {"model": 0.0 if step_run.kept else step_run.seconds, "rest": shot.rest()}
    return filled("panel/step/foot.html", guessed=guessed, **speeds, **step)
