"""Text to token ids and back, also one token at a time.

`Tokenizer` is for a whole text, `TextStream` for text that is shown while it is made,
and `StopText` tells a decode loop that a text is complete on which it shall stop. How a
vocabulary spells its tokens is in `token_text`, how a conversation becomes a text in
`chat_template`. Knows nothing of models or of choosing tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.growth import check_growth
from llm_walkthrough.guards.small_file import is_file, read_text, way_out
from llm_walkthrough.model_files.chat_template import (
    ChatTemplate,
    Message,
    read_chat_template,
)
from llm_walkthrough.model_files.model_config import MOST_TOKENS, small_file_folders
from llm_walkthrough.model_files.token_text import TokenText, shown, token_text

if TYPE_CHECKING:
    import tokenizers


def open_tokenizer(folder: Path) -> Tokenizer:
    """Open the tokenizer of a model folder, or of its folder `onnx`.

    A folder holds `tokenizer.json`, and for chats a template as `read_chat_template`
    finds it.

    InputError if a file is missing, broken, or of a style that is not read here.
    """
    if not is_file(folder / "tokenizer.json"):
        folder = small_file_folders(folder)[1]
    file = folder / "tokenizer.json"
    if not is_file(file):
        raise InputError(
            f"no tokenizer.json in {folder}; fetch the model again, or name a folder "
            "that has one"
        )
    template = read_chat_template(folder)
    try:
        library = _shared_library(read_text(file))
        check_growth(library.normalizer, library.decoder)
        tokenizer = Tokenizer(folder, library, token_text(library.decoder), template)
        if tokenizer.vocab > MOST_TOKENS:  # worked out once
            raise ValueError(f"it has a token id {tokenizer.vocab - 1:,}")  # noqa: TRY301 - as below
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the library panics, which is no Exception
        raise InputError(
            f"{file} is not a tokenizer that can be read here ({error}); "
            f"{way_out(file)}"
        ) from error
    # a file may ask to cut or fill every text to a length, as used in training
    library.no_truncation()
    library.no_padding()
    return tokenizer


def _library(text: str) -> tokenizers.Tokenizer:
    """Read a tokenizer.json; whoever makes a `Tokenizer` of another one needs none."""
    from tokenizers import Tokenizer as Library  # noqa: PLC0415 - as said above

    return Library.from_str(text)


_LIBRARIES: dict[bytes, tokenizers.Tokenizer] = {}


def _shared_library(text: str) -> tokenizers.Tokenizer:
    """Read a file; the variants of a model have the same one, which takes 25 MB."""
    digest = hashlib.sha256(text.encode()).digest()
    if digest not in _LIBRARIES:
        _LIBRARIES.clear()
        _LIBRARIES[digest] = _library(text)
    return _LIBRARIES[digest]


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """Text to ids and back. Immutable: any number of threads may use one at once.

    Whatever takes an id raises InputError if it is not in 0 … vocab-1, and whatever
    takes a text if that is not a string, or one that UTF-8 cannot write.
    """

    folder: Path
    library: tokenizers.Tokenizer = field(repr=False)
    style: TokenText = field(repr=False)
    template: ChatTemplate | None = field(repr=False)
    spare: int = field(default=0, repr=False)
    """Ids beyond the vocabulary that have no text, as graphs have logits for."""

    @cached_property
    def vocab(self) -> int:
        """One more than the largest token id."""
        return max(self.library.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def special_tokens(self) -> frozenset[int]:
        """Ids of the tokens that steer the model and are no part of the text."""
        added = self.library.get_added_tokens_decoder()
        return frozenset(token for token, entry in added.items() if entry.special)

    def for_vocab(self, vocab: int) -> Tokenizer:
        """Return the tokenizer for a graph of `vocab` logits, which may be more.

        Tokens that were added behind the vocabulary may lie beyond the logits: a model
        refuses them when they are fed, and can never choose one.

        InputError if they are fewer, so that some token of the vocabulary has no row.
        """
        own = self.library.get_vocab(with_added_tokens=False).values()
        if max(own, default=0) >= vocab:
            raise InputError(
                f"the tokenizer in {self.folder} has token ids up to {max(own)}, "
                f"but the graph gives only {vocab} logits; put the graph and the "
                "tokenizer of one model into the folder"
            )
        spare = max(0, vocab - self.vocab)
        return self if spare == self.spare else replace(self, spare=spare)

    def chat(
        self, messages: Sequence[Message], *, add_generation_prompt: bool = True
    ) -> str:
        """Write a conversation as `ChatTemplate.render` does, if there is one."""
        if self.template is None:
            raise InputError(
                f"{self.folder} has no chat template, neither in tokenizer_config.json "
                "nor as chat_template.jinja; give the text as it is (--raw)"
            )
        return self.template.render(
            messages, add_generation_prompt=add_generation_prompt
        )

    def encode(self, text: str) -> TokenIds:
        """Split a text into tokens.

        No special token is added, since the chat template writes those that it wants:
        a text such as "<|im_end|>" is recognised as one, whoever wrote it.
        """
        return self._encoded(self.library, text)

    def encode_raw(self, text: str) -> TokenIds:
        """Split a text that no template has written, as `tokenizer.json` itself does.

        Where that puts a token such as "<s>" in front of a text, so does this.
        """
        tokens = self.encode(text)
        whole = self.library.encode(text, add_special_tokens=True)
        count = [*whole.special_tokens_mask, 0].index(0)  # how many it puts in front
        return np.concatenate([np.array(whole.ids[:count], np.int64), tokens])

    def encode_plain(self, text: str) -> TokenIds:
        """Split a text into tokens that are all part of it, "<|im_end|>" too."""
        tokens = self.encode(text)
        if self.special_tokens.isdisjoint(tokens.tolist()):
            return tokens
        return self._encoded(self._plain_library, text)

    def decode(
        self, ids: TokenIds | Sequence[int], *, show_special: bool = False
    ) -> str:
        """Give the text of the tokens; bytes that are no UTF-8 become "\ufffd"."""
        tokens = [self._require_known(token) for token in ids]
        text: str = self.library.decode(tokens, skip_special_tokens=not show_special)
        return text

    def piece(self, token: int) -> str:
        """Show one token such that nothing in it is invisible, see `token_text.shown`.

        An id that the vocabulary skips is shown as "<no text 7>".
        """
        written = self.written(token)
        is_special = token in self.special_tokens  # which is no disguise of its bytes
        spelled = written.encode() if is_special else self.style.token_bytes(written)
        return shown(spelled) or f"<no text {token}>"

    def written(self, token: int) -> str:
        """Give the token as the vocabulary writes it ("Ġthe"); "" for a skipped id."""
        return self.library.id_to_token(self._require_known(token)) or ""

    def token_bytes(self, token: int) -> bytes:
        """Give the bytes that a token stands for in the middle of a text."""
        return self.style.token_bytes(self.written(token))

    @cached_property
    def _plain_library(self) -> tokenizers.Tokenizer:
        """The same library, which finds no special token in any text."""
        plain = _library(self.library.to_str())
        plain.encode_special_tokens = True
        return plain

    @staticmethod
    def _encoded(library: tokenizers.Tokenizer, text: str) -> TokenIds:
        _check_text("text", text)
        encoding = library.encode(text, add_special_tokens=False)
        return np.array(encoding.ids, dtype=np.int64)

    def _require_known(self, token: int) -> int:
        if not 0 <= token < self.vocab + self.spare:
            raise InputError(
                f"token id {token} has no text: the tokenizer in {self.folder} knows "
                f"0 to {self.vocab - 1}; take ids from `encode` of the same tokenizer"
            )
        return int(token)


class TextStream:
    """Text that is shown while its tokens are made.

    Everything that `feed` gave and then `flush`, joined, equals `Tokenizer.decode` of
    all tokens; with stop texts, only up to the first of them to be complete. A feed
    costs the same after a million tokens as after ten.

    InputError: a stop text that is empty or not a string.

    >>> import tokenizers
    >>> smile = tokenizers.models.BPE({"ðŁ": 0, "ĻĤ": 1, "!": 2}, [])
    >>> style = token_text(tokenizers.decoders.ByteLevel())
    >>> tokenizer = Tokenizer(None, tokenizers.Tokenizer(smile), style, None)
    >>> stream = TextStream(tokenizer)
    >>> [stream.feed(token) for token in (0, 1, 2)]
    ['', '🙂', '!']
    """

    def __init__(self, tokenizer: Tokenizer, *, stop_texts: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        _check_stop_texts(stop_texts)
        self._stop_texts = tuple(stop_texts)
        self._join = tokenizer.style.new_join()
        self._held = ""
        self.stopped = False
        """Whether a stop text is complete; it and what follows is never given."""

    @property
    def pending(self) -> bytes:
        """What is held back: a possible start of a stop text, unfinished characters."""
        return b"" if self.stopped else self._held.encode() + self._join.pending

    def feed(self, token: int) -> str:
        """Take the next token, give the text that became certain."""
        written = self._tokenizer.written(token)
        is_hidden = token in self._tokenizer.special_tokens
        return "" if is_hidden else self._release(self._join.feed(written))

    def flush(self) -> str:
        """Give what is held back, at the end of all tokens."""
        text = self._release(self._join.flush())
        held, self._held = self._held, ""
        return text + held

    def _release(self, certain: str) -> str:
        if self.stopped:
            return ""
        text = self._held + certain
        ends = [
            (start + len(stop), start)
            for stop in self._stop_texts
            if (start := text.find(stop)) >= 0
        ]
        self.stopped = bool(ends)
        # the first to be complete counts, however the text was cut into tokens
        certain_length = min(ends)[1] if ends else self._start_of_stop(text)
        self._held = "" if self.stopped else text[certain_length:]
        return text[:certain_length]

    def _start_of_stop(self, text: str) -> int:
        """Return where the longest end of `text` begins that starts a stop text."""
        longest = max(map(len, self._stop_texts), default=0)
        for start in range(max(0, len(text) + 1 - longest), len(text)):
            if any(stop.startswith(text[start:]) for stop in self._stop_texts):
                return start
        return len(text)


@dataclass(frozen=True)
class StopText:
    """A stop rule for `stepper`: does the newest token complete one of the texts?

    The texts are compared in bytes, so one that ends in the middle of a token, or is
    spelled by byte tokens, stops at once. Only as many tokens are looked at as the
    longest text has bytes, so the cost does not grow with the length.

    InputError if a text is empty or not a string.
    """

    tokenizer: Tokenizer
    texts: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_stop_texts(self.texts)

    def __call__(self, new_tokens: TokenIds) -> bool:
        """Whether to stop after the last of the tokens that follow the prompt."""
        stops = [text.encode() for text in self.texts]
        tail = self._tail(new_tokens, max(map(len, stops), default=0) + 1)
        if not tail or int(new_tokens[-1]) in self.tokenizer.special_tokens:
            return False
        before = len(self.tokenizer.style.text_bytes(tail[:-1]))
        spelled = self.tokenizer.style.text_bytes(tail)
        return any(  # only what ends in the newest token
            spelled.find(stop, max(0, before + 1 - len(stop))) >= 0 for stop in stops
        )

    def _tail(self, new_tokens: TokenIds, count: int) -> list[str]:
        """Return the last tokens that have a text, oldest first."""
        special = self.tokenizer.special_tokens
        spoken = (int(token) for token in new_tokens[::-1] if int(token) not in special)
        return [self.tokenizer.written(token) for token in islice(spoken, count)][::-1]


def _check_text(name: str, text: str) -> None:
    if not isinstance(text, str):
        raise InputError(f"{name} must be a string, got {text!r:.60}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} holds half a character at position {error.start} "
            f"({text[error.start]!r}), which UTF-8 cannot write; leave it out"
        ) from error


def _check_stop_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise InputError(
            f"stop texts must be a sequence of strings, got the string {texts!r}; "
            f"write ({texts!r},)"
        )
    for text in texts:
        _check_text("a stop text", text)
        if not text:
            raise InputError(
                "a stop text must not be empty, since every text contains it; "
                "leave it out"
            )
