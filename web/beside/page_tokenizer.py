"""The tokenizer's library as the page has it: JavaScript splits text, Python the rest.

Knows byte-level vocabularies, and what a panel asks of the library tokenizers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from llm_walkthrough.guards.small_file import read_json
from llm_walkthrough.model_files.chat_template import read_chat_template
from llm_walkthrough.model_files.token_text import ByteLevel
from llm_walkthrough.tokenizer import Tokenizer

Encode = Callable[[str], Sequence[int]]


def open_tokenizer(folder: Path, encode: Encode) -> Tokenizer:
    """Open the tokenizer of a model folder; `encode` splits a text into ids."""
    library = PageLibrary(read_json(folder / "tokenizer.json"), encode)
    template = read_chat_template(folder)
    return Tokenizer(folder, cast("Any", library), ByteLevel(), template)


class PageLibrary:
    """The methods that a `Tokenizer` calls, named as the library names them."""

    def __init__(self, file: dict[str, Any], encode: Encode) -> None:
        self._split = encode
        self._own: dict[str, int] = file["model"]["vocab"]
        added = {entry["content"]: entry["id"] for entry in file["added_tokens"]}
        self._all = {**self._own, **added}
        self._written = {token: written for written, token in self._all.items()}
        self._added = {e["id"]: SimpleNamespace(**e) for e in file["added_tokens"]}

    def get_vocab(self, *, with_added_tokens: bool) -> dict[str, int]:
        """Return each token as it is written, and its id."""
        return self._all if with_added_tokens else self._own

    def get_added_tokens_decoder(self) -> dict[int, SimpleNamespace]:
        """Return the added tokens by id; each says whether it is `special`."""
        return self._added

    def id_to_token(self, token: int) -> str | None:
        """Return a token as it is written, None for an id without one."""
        return self._written.get(token)

    def encode(self, text: str, *, add_special_tokens: bool) -> SimpleNamespace:
        """Split a text into `ids`; the chat template has put special ones in front."""
        assert not add_special_tokens  # noqa: S101 - for type checkers all are named
        return SimpleNamespace(ids=[*self._split(text)])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """Join tokens to a text."""
        hidden = self._added if skip_special_tokens else {}
        written = [self._written.get(i, "") for i in ids if i not in hidden]
        return ByteLevel().text_bytes(written).decode(errors="replace")
