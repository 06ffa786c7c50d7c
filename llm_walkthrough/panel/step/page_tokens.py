"""How are the tokens so far drawn, and the text that they make?"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from llm_walkthrough.panel.page_tokens import (
    SHOWN_OF_FUTURE,
    SHOWN_OF_MADE,
    SHOWN_OF_PROMPT,
    StreamedText,
    earlier,
    future_chip,
    text_box,
    token_chip,
)
from llm_walkthrough.panel.wording import percent
from llm_walkthrough.tokenizer import TextStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.step.snapshot import Snapshot
    from llm_walkthrough.panel.step.ways import Made
    from llm_walkthrough.panel.watched import Score
    from llm_walkthrough.tokenizer import Tokenizer


_HOW = {"drawn": "drawn", "own u": "drawn with your u", "chosen": "your choice"}


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


def _known(token: int, score: Score | None) -> str:
    if score is None:
        return f"id {token}"
    return f"id {token} · {percent(score.probability)} % · rank {score.rank:,}"


def _how(made: Made | None) -> str:
    if made is None:
        return ""
    u = "" if made.u is None else f", u = {made.u:.3f}"
    return f" · {_HOW[made.how]}{u}"
