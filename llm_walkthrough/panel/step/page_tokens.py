"""How are the tokens so far drawn, and the text that they make?"""

from __future__ import annotations

import html
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import attributes, percent, shortened
from llm_walkthrough.tokenizer import TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.panel.step.ways import Made
    from llm_walkthrough.panel.watched import Score
    from llm_walkthrough.tokenizer import Tokenizer
    from llm_walkthrough.views import Vocabulary

SHOWN_OF_PROMPT = 96
SHOWN_OF_MADE = 160
SHOWN_OF_FUTURE = 24
"""Chips that are drawn at most; the earlier ones are counted."""

_HOW = {"drawn": "drawn", "own u": "drawn with your u", "chosen": "your choice"}


@dataclass(frozen=True)
class StreamedText:
    """What the tokens spell so far.

    Attributes:
        certain: text that no later token can change.
        held: bytes that are not yet a character.
        num_held: the last so many tokens carry them.
    """

    certain: str
    held: bytes
    num_held: int


def streamed(tokenizer: Tokenizer, tokens: Sequence[int]) -> StreamedText:
    """Spell the tokens; what is not yet a character is held back."""
    stream, parts, num_held = TextStream(tokenizer), [], 0
    for token in tokens:
        parts.append(stream.feed(token))
        num_held = num_held + 1 if stream.pending else 0
    return StreamedText("".join(parts), stream.pending, num_held)


def tokens_section(shot: Snapshot, tokenizer: Tokenizer) -> str:
    """Draw one chip per token, those that were taken back, and the text."""
    start = shot.prompt_length
    made = shot.tokens[start:]
    cut = max(0, len(made) - SHOWN_OF_MADE)
    text = streamed(tokenizer, made[cut:])
    first = max(0, start - SHOWN_OF_PROMPT)
    chips = [earlier(first)] if first else []
    chips += [_prompt_chip(shot, place, tokenizer) for place in range(first, start)]
    chips += [earlier(cut)] if cut else []
    for place in range(cut, len(made)):
        is_held = place >= len(made) - text.num_held
        chips.append(_made_chip(shot, place, tokenizer, is_held=is_held))
    chips.append(
        '<li><span class="lw-chip lw-next" aria-label="the next token">?</span>'
    )
    chips += [future_chip(t, tokenizer) for t in shot.future[:SHOWN_OF_FUTURE]]
    return (
        '<section class="lw-tokens"><h4>Tokens</h4>'
        '<ol class="lw-chips" data-follow aria-label="Tokens">'
        f"{'</li>'.join(chips)}</li></ol>{text_box(text)}</section>"
    )


def bytes_written(data: bytes) -> str:
    """Write bytes as "<0xF0>", escaped."""
    return html.escape("".join(f"<0x{byte:02X}>" for byte in data))


def text_box(text: StreamedText, label: str = "Text so far") -> str:
    """Write what the tokens spell, and behind it the bytes that wait."""
    held = ""
    if text.held:
        held = (
            f' <span class="lw-held">{bytes_written(text.held)} held back: not yet a '
            "character</span>"
        )
    words = html.escape(text.certain) or '<span class="lw-soft">no text yet</span>'
    return (
        '<div class="lw-text" data-follow tabindex="0" role="group" '
        f'aria-label="{label}"><bdi>{words}</bdi>{held}</div>'
    )


def earlier(count: int) -> str:
    """Count the chips that are not drawn."""
    return f'<li><span class="lw-soft">… {count:,} earlier</span>'


@lru_cache(maxsize=2048)  # from step to step all chips but one are the same
def token_chip(
    piece: str, style: str, words: str, back_to: int | None = None, width: int = 0
) -> str:
    """Write one chip.

    Args:
        piece: the visible token.
        style: classes.
        words: what is known of it.
        back_to: how many tokens are kept when it is clicked, None if it cannot be.
        width: of the line below it, in percent.
    """
    can_go = back_to is not None
    named = attributes(
        {
            "class": f"lw-chip {style}",
            "tabindex": "-1",
            "data-item": "chips",
            "data-tip": "",  # shows the name
            "aria-label": f"{piece}, {words}",
            "data-action": "back_to" if can_go else None,
            "data-value": back_to,
            "aria-disabled": None if can_go else True,
        }
    )
    line = f'<i style="width:{width}%"></i>' if can_go else ""
    inside = f"<bdi>{shortened(piece)}</bdi>{line}"
    return f'<li><button type="button"{named}>{inside}</button>'


def _prompt_chip(shot: Snapshot, place: int, tokenizer: Tokenizer) -> str:
    token = shot.tokens[place]
    is_special = token in tokenizer.special_tokens
    style = "lw-special" if is_special else "lw-prompt"
    words = f"prompt, position {place} · {_known(token, shot.read.get(place))}"
    return token_chip(tokenizer.piece(token), style, words)


def _made_chip(
    shot: Snapshot, place: int, tokenizer: Tokenizer, *, is_held: bool
) -> str:
    position = shot.prompt_length + place
    token, made = shot.tokens[position], shot.made[place]
    style = "lw-made lw-held" if is_held else "lw-made"
    words, width = _told_of_made(position, token, made, is_held=is_held)
    return token_chip(tokenizer.piece(token), style, words, back_to=place, width=width)


@lru_cache(maxsize=2048)  # likewise
def _told_of_made(
    position: int, token: int, made: Made | None, *, is_held: bool
) -> tuple[str, int]:
    """Return what is known of a token in words, and the width of its line."""
    score = made.score if made else None
    words = f"position {position} · {_known(token, score)}{_how(made)}"
    if is_held:
        words += " · held back: not yet a character"
    words += " · click: go back to here"
    return words, round(100 * score.probability) if score else 0


def future_chip(token: int, vocabulary: Vocabulary, why: str = "taken back") -> str:
    """Draw a token that is not there, or not any more."""
    piece = vocabulary.piece(token)
    named = attributes({"class": "lw-chip lw-future", "aria-label": f"{piece}, {why}"})
    return f"<li><span{named}><bdi>{shortened(piece)}</bdi></span>"


def _known(token: int, score: Score | None) -> str:
    if score is None:
        return f"id {token}"
    return f"id {token} · {percent(score.probability)} % · rank {score.rank:,}"


def _how(made: Made | None) -> str:
    if made is None:
        return ""
    u = "" if made.u is None else f", u = {made.u:.3f}"
    return f" · {_HOW[made.how]}{u}"
