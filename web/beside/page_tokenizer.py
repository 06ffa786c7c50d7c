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
    library: Any = PageLibrary(read_json(folder / "tokenizer.json"), encode)
    return Tokenizer(folder, library, ByteLevel(), read_chat_template(folder))


class PageLibrary:
    """The methods that a `Tokenizer` calls, named as the library names them."""

    def __init__(self, file: dict[str, Any], encode: Encode) -> None:
        self._split, self._own = encode, cast("dict[str, int]", file["model"]["vocab"])
        self._added = {e["id"]: SimpleNamespace(**e) for e in file["added_tokens"]}
        self._all = self._own | {e.content: i for i, e in self._added.items()}
        self._written = {token: written for written, token in self._all.items()}
        self.id_to_token = self._written.get

    def get_vocab(self, *, with_added_tokens: bool) -> dict[str, int]:
        return self._all if with_added_tokens else self._own

    def get_added_tokens_decoder(self) -> dict[int, SimpleNamespace]:
        return self._added

    def encode(self, text: str, *, add_special_tokens: bool) -> SimpleNamespace:
        assert not add_special_tokens  # noqa: S101 - the chat template has put them in
        return SimpleNamespace(ids=[*self._split(text)])

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        hidden = self._added if skip_special_tokens else {}
        written = [self._written.get(i, "") for i in ids if i not in hidden]
        return ByteLevel().text_bytes(written).decode(errors="replace")
