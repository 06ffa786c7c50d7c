"""The bytes that a token stands for, and how tokens join into a text.

Two styles of vocabulary exist, and each is one class here:

    byte-level BPE  (GPT-2, Llama 3, SmolLM)   a token is bytes in a readable disguise:
                    "Ġthe" is b" the", and "ðŁĻĤ" are the four bytes of 🙂
    sentencepiece   (Llama 2, Mistral, Gemma)  "▁the" is " the", and only a character
                    outside the vocabulary is spelled in bytes: "<0xF0>", "<0x9F>", …

Knows tokens as the vocabulary writes them; `tokenizer` knows ids and special tokens.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llm_walkthrough.errors import as_number

if TYPE_CHECKING:
    from tokenizers.decoders import Decoder

_BYTE_TOKEN = re.compile("<0x([0-9A-Fa-f]{2})>")
_SENTENCEPIECE = frozenset({"Replace", "ByteFallback", "Fuse", "Strip", "Metaspace"})


_WHITE_SPACE = str.maketrans({" ": "␣", "\n": "⏎", "\t": "⇥"})


def visible(text: str) -> str:
    r"""Return the text with its white space made visible.

    >>> visible("the end\n")
    'the␣end⏎'
    """
    return text.translate(_WHITE_SPACE)


def shown(spelled: bytes) -> str:
    r"""Return the text of some bytes such that nothing in it is invisible.

    Bytes that are no character and characters without a shape stand as numbers.

    >>> shown(b" the\n"), shown("🙂".encode()[:2]), shown("\u200b".encode())
    ('␣the⏎', '<0xF0><0x9F>', '<U+200B>')
    """
    # surrogateescape turns a byte that is no UTF-8 into one character of its own
    signs = visible(spelled.decode(errors="surrogateescape"))
    return "".join(one if one.isprintable() else as_number(one) for one in signs)


def token_text(decoder: Decoder | None) -> TokenText:
    """Choose the style by the decoder of a tokenizer.json.

    Raises:
        ValueError: a decoder of another style, such as WordPiece.
    """
    # the library's decoders show their settings only in their pickled state
    kinds = set(_kinds(json.loads(decoder.__getstate__()))) if decoder else set()
    if kinds == {"ByteLevel"}:
        return ByteLevel()
    if decoder and kinds <= _SENTENCEPIECE:
        return Sentencepiece(decoder, has_byte_tokens="ByteFallback" in kinds)
    raise ValueError(
        f"decoder {' + '.join(sorted(kinds)) or 'missing'}, wanted ByteLevel or "
        f"some of {', '.join(sorted(_SENTENCEPIECE))}"
    )


def _kinds(settings: dict[str, object]) -> Iterator[str]:
    """Yield the names of a decoder, or of all in a sequence of decoders."""
    parts = settings.get("decoders")
    if isinstance(parts, list):
        for part in parts:
            yield from _kinds(part)
    elif "type" in settings:
        yield str(settings["type"])


def _disguises() -> dict[str, int]:
    """Character to byte, as GPT-2's `bytes_to_unicode` pairs them.

    A byte with a visible Latin-1 character is that character; the others, in order, are
    the characters from U+0100 on, so that the space (the 33rd of them) is "Ġ".
    """
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = sorted(set(range(256)) - set(visible))
    return {chr(byte): byte for byte in visible} | {
        chr(0x100 + number): byte for number, byte in enumerate(others)
    }


# --- byte-level BPE -----------------------------------------------------------------
_BYTE_OF = _disguises()


@dataclass(frozen=True)
class ByteLevel:
    """Every token is bytes; together they are read as UTF-8.

    >>> ByteLevel().token_bytes("Ġthe"), ByteLevel().token_bytes("ðŁĻĤ").decode()
    (b' the', '🙂')
    """

    def token_bytes(self, written: str) -> bytes:
        """Take off the disguise; a token outside it was added undisguised."""
        try:
            return bytes(_BYTE_OF[character] for character in written)
        except KeyError:
            return written.encode()

    def text_bytes(self, written: Sequence[str]) -> bytes:
        """Join the bytes, the same at the start of a text as in its middle."""
        return b"".join(map(self.token_bytes, written))

    def new_join(self) -> Join:
        """Start a text."""
        return _Utf8Join(self)


class _Utf8Join:
    """Reads UTF-8 as it comes: at most three bytes ever wait for the fourth."""

    def __init__(self, style: ByteLevel) -> None:
        self._style = style
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, written: str) -> str:
        return self._utf8.decode(self._style.token_bytes(written))

    def flush(self) -> str:
        return self._utf8.decode(b"", final=True)

    @property
    def pending(self) -> bytes:
        return self._utf8.getstate()[0]


# --- sentencepiece ------------------------------------------------------------------
_ANCHOR = "a"  # a token without a space before it: what follows it is in mid-text


@dataclass(frozen=True)
class Sentencepiece:
    """Tokens are text, or single bytes.

    The tokenizer puts a space before the first word of a text, and the decoder takes it
    off again, so that the first token is read differently from the same one later.
    """

    decoder: Decoder
    has_byte_tokens: bool

    def token_bytes(self, written: str) -> bytes:
        """Give the one byte of a byte token, otherwise the text in UTF-8."""
        if self.is_byte(written):
            return bytes.fromhex(written[3:5])
        return self.text([written], before=_ANCHOR).encode()

    def text_bytes(self, written: Sequence[str]) -> bytes:
        """Join the bytes, without the space that the decoder takes off the first."""
        first = written[:1]
        taken = len(self.text(first, before=_ANCHOR)) - len(self.text(first))  # 0 or 1
        return b"".join(map(self.token_bytes, written))[taken:]

    def new_join(self) -> Join:
        """Start a text."""
        return _RunJoin(self)

    def is_byte(self, written: str) -> bool:
        """Whether the token is one byte of a character."""
        return self.has_byte_tokens and bool(_BYTE_TOKEN.fullmatch(written))

    def text(self, written: Sequence[str], *, before: str = "") -> str:
        """Decode tokens as they read after `before`, or at the start of a text."""
        start = [before] if before else []
        text: str = self.decoder.decode([*start, *written])
        return text.removeprefix(before)


class _RunJoin:
    """Holds back a run of byte tokens until another token ends it.

    The decoder reads such a run as a whole: one wrong byte, and every byte of the run
    becomes "\ufffd", also those of characters that seemed complete. A token is decoded
    once, so the cost of a text grows with its length and no faster.
    """

    def __init__(self, style: Sentencepiece) -> None:
        self._style = style
        self._before = ""
        self._run: list[str] = []

    def feed(self, written: str) -> str:
        self._run.append(written)
        return "" if self._style.is_byte(written) else self.flush()

    def flush(self) -> str:
        text = self._style.text(self._run, before=self._before)
        if self._run:
            self._run, self._before = [], _ANCHOR
        return text

    @property
    def pending(self) -> bytes:
        return b"".join(map(self._style.token_bytes, self._run))


TokenText = ByteLevel | Sentencepiece
"""One style of vocabulary."""

Join = _Utf8Join | _RunJoin
"""Joins tokens into a text one at a time, giving each character once it is certain.

All that `feed` gave and then `flush` equals the text of all tokens decoded at once; the
bytes that are not yet certain text are `pending`. The `DecodeStream` of the tokenizers
library loses what is unfinished at the end, and raises an error on bytes that turn out
to be no UTF-8.
"""
