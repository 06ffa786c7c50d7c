"""Text panel: the tokens of a text go to a stream one by one, and bytes wait in it.

The state knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.markup import filled
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.acting import Moment, Stepping
from llm_walkthrough.panel.wording import cut
from llm_walkthrough.tokenizer import TextStream, Tokenizer
from llm_walkthrough.views import Chips, Code, Table, visible

_LINES = 7  # of the table
_LAST = 30  # tokens in the picture without a kernel
_COLUMNS = ("token", "its bytes", "alone", "streamed", "waiting")


@dataclass(frozen=True)
class Fed:
    """What one token does to a stream."""

    token: int | None  # its id; None for the end of the text, where no more can come
    piece: str  # the visible token
    spelled: bytes  # that it stands for
    alone: str  # what decoding it by itself gives
    given: str  # the text that the stream gives for it
    pending: bytes  # that the stream holds back after it


@dataclass(frozen=True, kw_only=True)
class Spelled(Moment):
    """How much of a text was fed."""

    fed: tuple[Fed, ...]  # what each step does, those to come included
    num_fed: int = 0  # how many of the steps are made

    @property
    def tokens(self) -> list[int]:
        """Ids of the whole text."""
        return [one.token for one in self.fed if one.token is not None]

    @property
    def done(self) -> tuple[Fed, ...]:
        """What the steps did that are made."""
        return self.fed[: self.num_fed]

    @property
    def certain(self) -> str:
        """Text that no later token can change."""
        return "".join(one.given for one in self.done)

    @property
    def held(self) -> tuple[Fed, ...]:
        """The last of them, whose bytes wait; the newest first."""
        return (*takewhile(lambda one: one.pending, reversed(self.done)),)

    @property
    def alone(self) -> str:
        """What decoding each token by itself shows so far."""
        return "".join(one.alone for one in self.done)


class Spelling(Stepping[Spelled]):
    """The tokens of a text, fed to a stream one by one; InputError if it has none."""

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        self._tokenizer = tokenizer
        super().__init__(_begun(tokenizer, text))

    def actions(self) -> Mapping[str, Callable[[Spelled, Any], Spelled]]:
        """Return what can be done; going back, or another text, ends a run."""
        return {
            **super().actions(),
            "spell": lambda _now, text: _begun(self._tokenizer, str(text)),
            "reset": lambda now, _: replace(now, num_fed=0, running=False),
            "back": lambda now, _: _back_to(now, now.num_fed - 1),
            "back_to": lambda now, place: _back_to(now, int(place)),
        }

    def stepped(self, now: Spelled) -> Spelled:
        """Return the moment after one more token; InputError if all were fed."""
        if now.num_fed == len(now.fed):
            raise InputError("all tokens have been fed; press Back or Reset")
        num_fed = now.num_fed + 1
        is_running = now.running and num_fed < len(now.fed)
        return replace(now, num_fed=num_fed, running=is_running)


def _begun(tokenizer: Tokenizer, text: str) -> Spelled:
    tokens = tokenizer.encode(text).tolist()
    if not tokens:
        raise InputError(f"the text {text!r} has no tokens; give a longer one")
    return Spelled(fed=tuple(_all_steps(tokenizer, tokens)))


def _back_to(now: Spelled, num_fed: int) -> Spelled:
    if not 0 <= num_fed < now.num_fed:
        what = f"only {now.num_fed} steps were made"
        raise InputError(f"{what}, so you cannot go back to {num_fed}")
    return replace(now, num_fed=num_fed, running=False)


def _all_steps(tokenizer: Tokenizer, tokens: Sequence[int]) -> Iterator[Fed]:
    """Feed all tokens to one stream; at the end it gives what still waits."""
    stream = TextStream(tokenizer)
    for token in tokens:
        given, alone = stream.feed(token), tokenizer.decode([token])
        piece, spelled = tokenizer.piece(token), tokenizer.token_bytes(token)
        yield Fed(token, piece, spelled, alone, given, stream.pending)
    if stream.pending:
        yield Fed(None, "the end of the text", b"", "", stream.flush(), b"")


# --- the page ----------------------------------------------------------------------
def page(now: Spelled, _tokenizer: Tokenizer) -> str:
    """Draw the tokens, the text, and what each of the newest tokens did."""
    held = now.held[0].pending if now.held else b""
    shown = {"now": now, "chips": _chips(now), "columns": _COLUMNS, "visible": visible}
    shown |= {"newest": now.done[-_LINES:], "num_lines": _LINES}
    stream, alone = frame.StreamedText(now.certain, held), frame.StreamedText(now.alone)
    return filled("panel/small/spelling.html", stream=stream, alone=alone, **shown)


def _chips(now: Spelled) -> Iterator[str]:
    """Draw the tokens that were fed, the next one, and some of those to come."""
    num_fed = min(now.num_fed, len(now.tokens))  # the end of the text has no chip
    first = max(0, num_fed - frame.SHOWN_OF_MADE)
    yield from frame.earlier(first)
    for place in range(first, num_fed):
        is_held = place >= num_fed - len(now.held)
        yield _fed_chip(now.fed[place], place, is_held=is_held)
    rest = [one.piece for one in now.fed[num_fed : len(now.tokens)]]
    for piece in rest[:1]:
        yield frame.still_chip(piece, "lw-next", title="the next token")
    for piece in rest[1 : frame.SHOWN_OF_FUTURE]:
        yield frame.future_chip(piece, "still to come")
    left = len(rest) - frame.SHOWN_OF_FUTURE
    if left > 0:
        yield f'<li><span class="lw-soft">… {left:,} more</span>'


def _fed_chip(one: Fed, place: int, *, is_held: bool) -> str:
    words = f"id {one.token} · bytes {one.spelled.hex(' ')}"
    words += " · held back: not yet a character" if is_held else ""
    words += " · click: go back to here"
    style = "lw-made lw-held" if is_held else "lw-made"
    return frame.token_chip(one.piece, style, words, back_to=place)


# --- the picture without a kernel --------------------------------------------------
def twin(now: Spelled, _tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    done = now.done[-_LAST:]
    pieces = [cut(one.piece) for one in done]

    def row(piece: str, one: Fed) -> list[Code]:
        texts = (visible(cut(text)) for text in (one.alone, one.given))
        return [*map(Code, (piece, one.spelled.hex(" "), *texts, one.pending.hex(" ")))]

    rows = [*map(row, pieces, done)]
    title = f"{now.num_fed} of {len(now.fed)} tokens were fed"
    return frame.picture(Chips(pieces, title), Table(_COLUMNS, rows, "Token by token"))
