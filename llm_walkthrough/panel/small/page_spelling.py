"""How are the tokens of a text drawn while they are fed, and the bytes that wait?"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from llm_walkthrough.panel.acting import Notice
from llm_walkthrough.panel.frame import (
    back,
    framed,
    head,
    notice,
    picture,
    reset,
    run_or_stop,
    step,
)
from llm_walkthrough.panel.marks import attributes, chip
from llm_walkthrough.panel.page_tokens import (
    SHOWN_OF_FUTURE,
    SHOWN_OF_MADE,
    StreamedText,
    earlier,
    future_chip,
    text_box,
    token_chip,
)
from llm_walkthrough.panel.wording import cut, quoted, shortened
from llm_walkthrough.views import Chips, Code, Table, visible

if TYPE_CHECKING:
    from llm_walkthrough.panel.small.spelling import Fed, Spelled
    from llm_walkthrough.tokenizer import Tokenizer

_SPEED = 400  # milliseconds from one token to the next
_LINES = 7  # of the table
_LAST = 30  # tokens in the picture without a kernel
_COLUMNS = (
    "token",
    "its bytes",
    "alone",
    "streamed",
    "waiting",
)
_END = "the end of the text"


def page(shot: Spelled, tokenizer: Tokenizer) -> str:
    """Draw the tokens, the text, and what each of the newest tokens did."""
    now = shot.now
    can_go, can_go_back = now.num_fed < len(shot.fed), now.num_fed > 0
    buttons = (
        back("take the last token back", can_go=can_go_back),
        step("feed the next token", can_go=can_go),
        run_or_stop("feed token after token", is_running=now.running, can_go=can_go),
        reset("back to the first token", can_go=can_go_back),
    )
    num_tokens = min(now.num_fed, len(shot.tokens))
    where = f"token <b>{num_tokens}</b> of {len(shot.tokens):,}"
    pending = shot.held[-1].pending if shot.held else b""
    certain = StreamedText(shot.certain, pending, len(shot.held))
    alone = StreamedText(shot.alone, b"", 0)
    return framed(
        f"{head(buttons, where)}{notice(_said(shot, tokenizer))}"
        f"{_tokens(shot, tokenizer)}"
        '<div class="lw-grid lw-halves">'
        f"<div><section><h4>The stream shows</h4>{text_box(certain)}</section></div>"
        "<div><section><h4>Each token decoded alone</h4>"
        f"{text_box(alone, 'Each token decoded alone')}</section></div></div>"
        f"{_table(shot, tokenizer)}",
        title="A text, token by token",
        tick=_SPEED if now.running else None,
    )


def twin(shot: Spelled, tokenizer: Tokenizer) -> tuple[str, str]:
    """Return the picture for a page without a kernel, as HTML and in words."""
    done = shot.done[-_LAST:]
    pieces = [cut(_piece(one, tokenizer)) for one in done]
    title = f"{shot.now.num_fed} of {len(shot.fed)} tokens were fed"
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
    return picture(Chips(pieces, title), Table(_COLUMNS, rows, "Token by token"))


def _said(shot: Spelled, tokenizer: Tokenizer) -> Notice:
    """Return what there is to say, and else what the last token did."""
    if shot.now.notice.text:
        return shot.now.notice
    if not shot.done:
        return Notice("Step feeds the first token to the stream.", "hint")
    last = shot.done[-1]
    piece = quoted(_piece(last, tokenizer))
    has_waited = any(one.pending for one in shot.done[-2:-1])
    if last.token is None:
        words = "The text is over, so the stream gives what it still held."
    elif last.pending:
        words = f"{piece} ends inside a character: its bytes wait, no � is shown."
    elif has_waited:
        words = f"{piece} ends a character: its bytes and those that waited make it."
    elif last.given:
        words = f"{piece} ends where a character ends: it is shown at once."
    else:
        words = f"{piece} is a sign to the model, and no part of the text."
    return Notice(words, "hint")


def _piece(one: Fed, tokenizer: Tokenizer) -> str:
    return _END if one.token is None else tokenizer.piece(one.token)


def _tokens(shot: Spelled, tokenizer: Tokenizer) -> str:
    """Draw the tokens that were fed, the next one, and some of those to come."""
    num_fed = min(shot.now.num_fed, len(shot.tokens))
    first = max(0, num_fed - SHOWN_OF_MADE)
    held = len(shot.held)
    chips = [earlier(first)] if first else []
    chips += [
        _fed_chip(shot, place, tokenizer, is_held=place >= num_fed - held)
        for place in range(first, num_fed)
    ]
    rest = shot.tokens[num_fed:]
    if rest:
        named = attributes({"class": "lw-chip lw-next", "title": "the next token"})
        chips.append(
            f"<li><span{named}><bdi>{shortened(tokenizer.piece(rest[0]))}</bdi></span>"
        )
    chips += [
        future_chip(token, tokenizer, "still to come")
        for token in rest[1:SHOWN_OF_FUTURE]
    ]
    left = len(rest) - SHOWN_OF_FUTURE
    chips += [f'<li><span class="lw-soft">… {left:,} more</span>'] if left > 0 else []
    return (
        '<section><h4>Tokens</h4><ol class="lw-chips lw-short" data-follow '
        f'tabindex="0" aria-label="Tokens">{"</li>".join(chips)}</li></ol></section>'
    )


def _fed_chip(shot: Spelled, place: int, tokenizer: Tokenizer, *, is_held: bool) -> str:
    token = shot.tokens[place]
    words = f"id {token} · bytes {shot.fed[place].spelled.hex(' ')}"
    words += " · held back: not yet a character" if is_held else ""
    words += " · click: go back to here"
    style = "lw-made lw-held" if is_held else "lw-made"
    return token_chip(tokenizer.piece(token), style, words, back_to=place)


def _table(shot: Spelled, tokenizer: Tokenizer) -> str:
    """List what the newest tokens did, the newest one last."""
    done = shot.done[-_LINES:]
    rows = [_row(one, tokenizer, is_newest=one is done[-1]) for one in done]
    rows += ['<tr><td colspan="5">&nbsp;</td></tr>'] * (_LINES - len(rows))
    heads = "".join(f"<th>{column}</th>" for column in _COLUMNS)
    return (
        '<section class="lw-bytes"><h4>Token by token, the newest below</h4>'
        f'<table class="lw-table"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _row(one: Fed, tokenizer: Tokenizer, *, is_newest: bool) -> str:
    style = ' class="lw-newest"' if is_newest else ""
    token = html.escape(_END) if one.token is None else chip(_piece(one, tokenizer))
    cells = (
        token,
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
