"""The page of the step panel: one moment as HTML, from the head to the times.

Pure but for the seconds that the foot shows: the same snapshot gives the same string,
without a random name, a script or anything from the network. The candidates, the map of
the cache and the feed are drawn by files that small panels use, too.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import takewhile
from statistics import median

from llm_walkthrough.panel import frame
from llm_walkthrough.panel.candidates import Distribution
from llm_walkthrough.panel.page_candidates import candidates_section, plots, take_button
from llm_walkthrough.panel.page_engine import cache_section, feed_table
from llm_walkthrough.panel.step.branches import Made, NamedBranch
from llm_walkthrough.panel.step.filled import filled
from llm_walkthrough.panel.step.looking import TAB
from llm_walkthrough.panel.step.page_inside import inside_section, tables
from llm_walkthrough.panel.step.walk import (
    ASKS,
    DELAYS,
    LIMITS,
    Desk,
    Guesses,
    Snapshot,
)
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.panel.wording import in_tokens, percent, quoted
from llm_walkthrough.tokenizer import TextStream, Tokenizer
from llm_walkthrough.views import Chips, visible

_OPEN = (
    '<label class="lw-button lw-file">Open run<input type="file" accept=".json" '
    'data-action="load" aria-label="open a saved run"></label>'
)
_ASKED = dict(
    zip(ASKS, ("Ask something else …", "Begin a text, or paste one …"), strict=True)
)
_HOW = {"drawn": "drawn", "own u": "drawn with your u", "chosen": "your choice"}
_TAIL = 80  # characters of a branch's text
_NEWEST = 32  # runs whose median is the speed of decoding
_LAST = 60  # tokens in the picture without a kernel


def page(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw the whole panel; the times last, as drawing is a part of them."""
    return frame.framed(
        shot.desk,
        title=f"Step through {shot.title}",
        where=(
            f'<span class="lw-title">{html.escape(shot.title)} · </span>'
            f"step <b>{len(shot.made)}</b> · context <b>{len(shot.tokens):,}</b>"
            f'<span class="lw-of"> of {shot.cache.capacity:,}</span>'
        ),
        buttons=_buttons(shot.desk, can_go_back=len(shot.made) > 0),
        more=_more(shot.desk),
        above=f"{_ask(shot.desk)}{tokens_section(shot, tokenizer)}",
        hint=_hint(shot, tokenizer),
        is_large=shot.desk.is_large,
        tick=DELAYS[shot.desk.speed],
        inside=(
            f'<div class="lw-grid"><div>{_candidates(shot, tokenizer)}</div>'
            f'<div class="lw-side">{_side(shot, tokenizer)}</div></div>{foot(shot)}'
        ),
    )


def twin(shot: Snapshot, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    pieces = [tokenizer.piece(token) for token in shot.tokens[-_LAST:]]
    title = (
        f"Step panel: {shot.title}, step {len(shot.made)}, context "
        f"{len(shot.tokens)} of {shot.cache.capacity:,}"
    )
    pictures = plots(shot.distribution, tokenizer) if shot.distribution else ()
    looked = tables(shot, tokenizer)
    return frame.picture(Chips(pieces, title), *pictures, *looked, between="\n")


# --- the head ----------------------------------------------------------------------
def _buttons(desk: Desk, *, can_go_back: bool) -> Sequence[str]:
    again = "back to the prompt; forgets all branches"
    return (
        frame.control("back", "undo the last step", is_on=can_go_back),
        frame.control("step", "take the token that is drawn"),
        frame.run_or_stop(desk, "keep stepping until the end or the limit"),
        frame.control("reset", again, is_on=can_go_back),
    )


def _more(desk: Desk) -> Sequence[str]:
    guess = "name the token before you see the numbers"
    return (
        _choice("limit", "how far a run goes", LIMITS, desk.limit),
        _choice("speed", "how fast a run goes", DELAYS, desk.speed),
        frame.button("guessing", "Guess first", guess, is_pressed=desk.is_guessing),
        frame.button(
            "large", "Large type", "for a projector", is_pressed=desk.is_large
        ),
        frame.button("save", "Save run", "write this run to a small file"),
        _OPEN,
        frame.button(
            "export", "Save page", "write the panel as it is now to an HTML file"
        ),
    )


def _choice(action: str, label: str, options: Iterable[str], chosen: str) -> str:
    chooser = frame.select(action, label, options, chosen)
    return f'<label class="lw-choice">{label} {chooser}</label>'


def _ask(desk: Desk) -> str:
    """Write the box that gives the panel another prompt."""
    kind = frame.select("ask_as", "what you write", ASKS, desk.asks)
    name = "start again with this text; forgets all branches"
    return frame.text_field("ask", "Ask", name, _ASKED[desk.asks], kind)


def _hint(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Say what the next step would do."""
    found = shot.distribution
    if found is None:
        return ""
    if len(shot.tokens) >= shot.cache.capacity:
        return "The context is full: press Back to undo a step."
    if shot.desk.is_guessing:
        return "Guess first: choose the token that you expect to come."
    draw = found.draw
    drawn, share = quoted(tokenizer.piece(draw.token)), found.share(draw.token)
    how = f"u = {draw.u:.3f} picks {drawn} ({percent(share)} %)"
    if found.is_greedy:
        how = f"{drawn} is the likeliest"
    return f"{how}. Step appends it and runs the graph on it."


# --- what may come next ------------------------------------------------------------
def _candidates(shot: Snapshot, tokenizer: Tokenizer) -> str:
    found, desk, instead = shot.distribution, shot.desk, ""
    if found is None:
        instead = f'<p class="lw-nothing">Nothing: {html.escape(shot.why_none)}</p>'
    elif desk.is_guessing:
        instead = _guess_table(found, desk.guesses, tokenizer)
    return candidates_section(found, desk, tokenizer, can_take=True, instead=instead)


def _guess_table(found: Distribution, score: Guesses, tokenizer: Tokenizer) -> str:
    """Draw the candidates without their numbers, in the order of the alphabet."""
    pieces = sorted((tokenizer.piece(row.token), row.token) for row in found.rows)
    buttons = [
        take_button(token, piece, found.position, f"guess {piece}", f"id {token}")
        for piece, token in pieces
    ]
    return filled("guess.html", buttons=buttons, score=score)


# --- the tokens so far -------------------------------------------------------------
def tokens_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw the prompt in a line, which opens, and a chip for each token after it."""
    start, tokens = shot.prompt_length, shot.tokens
    first = max(0, start - frame.SHOWN_OF_PROMPT)
    cut = max(0, len(shot.made) - frame.SHOWN_OF_MADE)
    made = [*enumerate(zip(tokens[start:], shot.made, strict=True))]
    held_from = len(made) - _text_so_far(shot, tokenizer).num_held
    prompt = (
        *frame.earlier(first),
        *(
            _prompt_chip(tokenizer, place, tokens[place], shot.read.get(place))
            for place in range(first, start)
        ),
    )
    chips = (
        *frame.earlier(cut),
        *(
            _made_chip(tokenizer, start, i, known, is_held=i >= held_from)
            for i, known in made[cut:]
        ),
        frame.NEXT_CHIP,
        *(
            frame.future_chip(tokenizer.piece(token))
            for token in shot.future[: frame.SHOWN_OF_FUTURE]
        ),
    )
    words = _end_of_prompt(tokenizer, tokens[first:start])
    return filled(
        "tokens.html",
        length=in_tokens(start),
        words=words,
        prompt=frame.chip_list("Tokens of the prompt", prompt, is_short=True),
        made=frame.chip_list("Tokens", chips),
    )


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
    *,
    is_held: bool,
) -> str:
    token, made = known
    score = made.score if made else None
    words = f"position {start + kept} · {_likely(token, score)}"
    if made is not None:
        u = "" if made.u is None else f", u = {made.u:.3f}"
        words += f" · {_HOW[made.how]}{u}"
    words += " · held back: not yet a character" if is_held else ""
    words += " · click: go back to here"
    style = "lw-made lw-held" if is_held else "lw-made"
    if score and not is_held:
        style += f" {frame.tint(score.probability)}"
    return frame.token_chip(tokenizer.piece(token), style, words, kept)


def _likely(token: int, score: Score | None) -> str:
    if score is None:
        return f"id {token}"
    return f"id {token} · {percent(score.probability)} % · rank {score.rank:,}"


# --- the tabs ----------------------------------------------------------------------
def _side(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw the tabs, and what the open one shows."""
    counts = {"Branches": f" {len(shot.branches)}"}
    labels = {name: f"{name}{counts.get(name, '')}" for name in _SIDES}
    chosen = shot.desk.side if shot.desk.side in _SIDES else next(iter(_SIDES))
    return frame.tabs("side", labels, chosen, _SIDES[chosen](shot, tokenizer))


def _cache(shot: Snapshot, _tokenizer: Tokenizer) -> str:
    """Draw the cache, and what the last run has written to it, if there was one."""
    written = len(shot.feeds[-1].tokens) if shot.feeds else 0
    return cache_section(shot.cache, shot.prompt_length, written)


def _feed(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what the last run was fed, and what of it is new."""
    table = ""
    if shot.feeds:
        last, before = shot.feeds[-1], shot.feeds[0] if len(shot.feeds) > 1 else None
        table = feed_table(last, before, tokenizer)
    return (
        '<section class="lw-feed"><h4>Fed to the graph in this run</h4>'
        f"{table}</section>"
    )


def _text(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw what the tokens after the prompt spell."""
    return frame.text_box(_text_so_far(shot, tokenizer))


def branches_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw each branch from where it parts, with its text and log-probability."""
    here = len(shot.made)

    def text(branch: NamedBranch) -> str:  # of the tokens that are its own
        end = branch.tokens[branch.fork :][:_TAIL]  # 1 character or more each
        tail = visible(tokenizer.decode(end, show_special=True))
        return tail if len(tail) <= _TAIL else f"{tail[:_TAIL]}…"

    return filled(
        "branches.html",
        branches=shot.branches,
        here=here,  # steps up to where the next one goes on
        longest=max(*(len(branch.tokens) for branch in shot.branches), here, 1),
        text=text,
    )


_SIDES: Mapping[str, Callable[[Snapshot, Tokenizer], str]] = {
    "Cache": _cache,
    "Feed": _feed,
    "Branches": branches_section,
    "Text": _text,
    TAB: inside_section,
}
"""The tabs, by name: a further one is one more row."""


# --- the times ---------------------------------------------------------------------
def foot(shot: Snapshot) -> str:
    """Write the times: of this step, of reading and of writing."""
    if not (runs := shot.runs):
        return filled("foot.html", model=None)
    read = [*takewhile(lambda run: run.stop <= shot.prompt_length, runs)]
    count, reading = sum(len(r.tokens) for r in read), sum(r.seconds for r in read)
    newest = [run for run in runs[-_NEWEST:] if run.start >= shot.prompt_length]
    steps = [run.seconds for run in newest if len(run.tokens) == 1]
    return filled(
        "foot.html",
        model=(shot.step_run or runs[-1]).seconds,
        rest=shot.rest(),
        decode=1 / median(steps) if steps else None,
        prompt=in_tokens(count),
        prefill=count / reading,
    )
