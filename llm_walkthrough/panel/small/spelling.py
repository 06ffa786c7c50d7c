"""Text panel: the tokens of a text go to a stream one by one, and bytes wait in it.

The state knows nothing of HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel import frame, marks
from llm_walkthrough.panel.acting import Moment, Notice, Stepping
from llm_walkthrough.panel.wording import cut, quoted, shortened
from llm_walkthrough.tokenizer import TextStream, Tokenizer
from llm_walkthrough.views import Chips, Code, Table, visible

_SPEED = 400  # milliseconds from one token to the next
_LINES = 7  # of the table
_LAST = 30  # tokens in the picture without a kernel
_COLUMNS = ("token", "its bytes", "alone", "streamed", "waiting")
_END = "the end of the text"


@dataclass(frozen=True)
class Fed:
    """What one token does to a stream.

    Attributes:
        token: its id; None for the end of the text, where nothing is left to wait for.
        spelled: the bytes that it stands for.
        alone: what decoding it by itself gives.
        given: the text that the stream gives for it.
        pending: the bytes that the stream holds back after it.
    """

    token: int | None
    spelled: bytes
    alone: str
    given: str
    pending: bytes


@dataclass(frozen=True, kw_only=True)
class Spelled(Moment):
    """How much of a text was fed.

    Attributes:
        fed: what each step does, those to come included.
        num_fed: how many of the steps are made.
    """

    fed: tuple[Fed, ...]
    num_fed: int = 0

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
    """The tokens of a text, fed to a stream one by one.

    Raises:
        InputError: the text has no tokens, or cannot be written in UTF-8.
    """

    def __init__(self, tokenizer: Tokenizer, text: str) -> None:
        tokens = tokenizer.encode(text).tolist()
        if not tokens:
            raise InputError(f"the text {text!r} has no tokens; give a longer one")
        super().__init__(Spelled(fed=tuple(_all_steps(tokenizer, tokens))))

    def actions(self) -> Mapping[str, Callable[[Spelled, Any], Spelled]]:
        """Return what can be done; going back ends a run."""
        return {
            **super().actions(),
            "back": lambda now, _value: _back_to(now, now.num_fed - 1),
            "back_to": lambda now, place: _back_to(now, int(place)),
        }

    def stepped(self, now: Spelled) -> Spelled:
        """Return the moment after one more token.

        Raises:
            InputError: all of them were fed.
        """
        if now.num_fed == len(now.fed):
            raise InputError("all tokens were fed; press Back or Reset")
        num_fed = now.num_fed + 1
        return replace(
            now, num_fed=num_fed, running=now.running and num_fed < len(now.fed)
        )


def _back_to(now: Spelled, num_fed: int) -> Spelled:
    if not 0 <= num_fed < now.num_fed:
        raise InputError(
            f"{now.num_fed} steps were made, so there is no way back to {num_fed}"
        )
    return replace(now, num_fed=num_fed, running=False)


def _all_steps(tokenizer: Tokenizer, tokens: Sequence[int]) -> Iterator[Fed]:
    """Feed all tokens to one stream; at the end it gives what still waits."""
    stream = TextStream(tokenizer)
    for token in tokens:
        given, alone = stream.feed(token), tokenizer.decode([token])
        yield Fed(token, tokenizer.token_bytes(token), alone, given, stream.pending)
    if stream.pending:
        yield Fed(None, b"", "", stream.flush(), b"")


# --- the page ----------------------------------------------------------------------
def page(now: Spelled, tokenizer: Tokenizer) -> str:
    """Draw the tokens, the text, and what each of the newest tokens did."""
    can_go, can_go_back = now.num_fed < len(now.fed), now.num_fed > 0
    buttons = (
        frame.back("take the last token back", can_go=can_go_back),
        frame.step("feed the next token", can_go=can_go),
        frame.run_or_stop(
            "feed token after token", is_running=now.running, can_go=can_go
        ),
        frame.reset("back to the first token", can_go=can_go_back),
    )
    num_tokens = len(now.tokens)
    where = f"token <b>{min(now.num_fed, num_tokens)}</b> of {num_tokens:,}"
    pending = now.held[0].pending if now.held else b""
    stream = marks.StreamedText(now.certain, pending, len(now.held))
    said = now.notice if now.notice.text else _hint(now, tokenizer)
    heading = "Each token decoded alone"
    alone = marks.StreamedText(now.alone, b"", 0)
    return frame.framed(
        f"{frame.head(buttons, where)}{frame.notice(said)}{_tokens(now, tokenizer)}"
        '<div class="lw-grid lw-halves"><div><section><h4>The stream shows</h4>'
        f"{marks.text_box(stream)}</section></div><div><section><h4>{heading}</h4>"
        f"{marks.text_box(alone, heading)}</section></div></div>"
        f"{_table(now.done[-_LINES:], tokenizer)}",
        title="A text, token by token",
        tick=_SPEED if now.running else None,
    )


def _hint(now: Spelled, tokenizer: Tokenizer) -> Notice:
    """Say what the last token did."""
    if not now.done:
        return Notice("Step feeds the first token to the stream.", "hint")
    last = now.done[-1]
    piece = quoted(_piece(last, tokenizer))
    if last.token is None:
        words = "The text is over, so the stream gives what it still held."
    elif last.pending:
        words = f"{piece} ends inside a character: its bytes wait, no � is shown."
    elif any(one.pending for one in now.done[-2:-1]):  # those of the token before
        words = f"{piece} ends a character: its bytes and those that waited make it."
    elif last.given:
        words = f"{piece} ends where a character ends: it is shown at once."
    else:
        words = f"{piece} is a sign to the model, and no part of the text."
    return Notice(words, "hint")


def _piece(one: Fed, tokenizer: Tokenizer) -> str:
    return _END if one.token is None else tokenizer.piece(one.token)


def _tokens(now: Spelled, tokenizer: Tokenizer) -> str:
    """Draw the tokens that were fed, the next one, and some of those to come."""
    num_fed = min(now.num_fed, len(now.tokens))  # the end of the text has no chip
    first = max(0, num_fed - marks.SHOWN_OF_MADE)
    first_held = num_fed - len(now.held)
    chips = [marks.earlier(first)] if first else []
    chips += [
        _fed_chip(now.fed[place], place, tokenizer, is_held=place >= first_held)
        for place in range(first, num_fed)
    ]
    rest = now.tokens[num_fed:]
    for token in rest[:1]:
        named = marks.attributes(
            {"class": "lw-chip lw-next", "title": "the next token"}
        )
        piece = shortened(tokenizer.piece(token))
        chips.append(f"<li><span{named}><bdi>{piece}</bdi></span>")
    chips += [
        marks.future_chip(token, tokenizer, "still to come")
        for token in rest[1 : marks.SHOWN_OF_FUTURE]
    ]
    left = len(rest) - marks.SHOWN_OF_FUTURE
    chips += [f'<li><span class="lw-soft">… {left:,} more</span>'] if left > 0 else []
    return (
        '<section><h4>Tokens</h4><ol class="lw-chips lw-short" data-follow '
        f'tabindex="0" aria-label="Tokens">{"</li>".join(chips)}</li></ol></section>'
    )


def _fed_chip(one: Fed, place: int, tokenizer: Tokenizer, *, is_held: bool) -> str:
    words = f"id {one.token} · bytes {one.spelled.hex(' ')}"
    words += " · held back: not yet a character" if is_held else ""
    words += " · click: go back to here"
    style = "lw-made lw-held" if is_held else "lw-made"
    return marks.token_chip(_piece(one, tokenizer), style, words, back_to=place)


def _table(newest: Sequence[Fed], tokenizer: Tokenizer) -> str:
    """List what the newest tokens did, the newest one last; it keeps its height."""
    rows = [_row(one, tokenizer, is_newest=one is newest[-1]) for one in newest]
    rows += ['<tr><td colspan="5">&nbsp;</td></tr>'] * (_LINES - len(rows))
    heads = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return (
        '<section class="lw-bytes"><h4>Token by token, the newest below</h4>'
        f'<table class="lw-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _row(one: Fed, tokenizer: Tokenizer, *, is_newest: bool) -> str:
    style = ' class="lw-newest"' if is_newest else ""
    cells = (
        _END if one.token is None else marks.chip(_piece(one, tokenizer)),
        _bytes(one.spelled),
        _text(one.alone),
        _text(one.given),
        f'<span class="lw-waits">{_bytes(one.pending)}</span>',
    )
    return f"<tr{style}>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _bytes(data: bytes) -> str:
    """Write bytes; many of them are named in the tip, and cut at the cell's edge."""
    words = data.hex(" ")
    return f'<span class="lw-mono" title="{words}">{words}</span>' if words else ""


def _text(text: str) -> str:
    return f"<bdi>{shortened(visible(text))}</bdi>" if text else ""


# --- the picture without a kernel --------------------------------------------------
def twin(now: Spelled, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    done = now.done[-_LAST:]
    pieces = [cut(_piece(one, tokenizer)) for one in done]
    rows = [
        (
            Code(piece),
            Code(one.spelled.hex(" ")),
            Code(visible(cut(one.alone))),
            Code(visible(cut(one.given))),
            Code(one.pending.hex(" ")),
        )
        for piece, one in zip(pieces, done, strict=True)
    ]
    title = f"{now.num_fed} of {len(now.fed)} tokens were fed"
    return frame.picture(Chips(pieces, title), Table(_COLUMNS, rows, "Token by token"))
