"""The tokens that end an answer, collected from every file of a model folder.

The files of one export often disagree: the configuration names the end of a text, and
only the tokenizer's file names the end of a turn. Whichever comes ends the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from llm_walkthrough.errors import InputError
from llm_walkthrough.guards.small_file import is_file, read_json
from llm_walkthrough.model_files import model_config
from llm_walkthrough.model_files.chat_template import special_text
from llm_walkthrough.model_files.model_config import ModelConfig, is_whole, nested

_DIGITS = 10  # no id has as many


class EndToken(NamedTuple):
    """An id that ends an answer, and the files that say so."""

    token: int
    files: tuple[str, ...]


def read_end_tokens(
    path: Path, config: ModelConfig, vocab: int
) -> tuple[EndToken, ...]:
    """Return each id once, in the order of the files, if it has a row of logits.

    What is no id at all, or a file that cannot be read, is an InputError.
    """
    found: dict[int, dict[str, None]] = {}
    for file, token in [*_configured(config), *_of_tokenizer(path)]:
        if 0 <= token < vocab:
            found.setdefault(token, {})[file] = None
    return tuple(EndToken(token, tuple(files)) for token, files in found.items())


def _configured(config: ModelConfig) -> Iterator[tuple[str, int]]:
    for file, said in config.settings.items():
        ids = said.get("eos_token_id")
        for token in ids if isinstance(ids, list) else [ids]:
            if is_whole(token):
                yield file, token
            elif token is not None:
                what = f"a token id or a list of them, got {token!r}; mend it in {file}"
                raise InputError(f"eos_token_id must be {what}")


def _of_tokenizer(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the id of the text that the tokenizer's own file names."""
    name, folders = "tokenizer_config.json", model_config.small_file_folders(path)
    for folder in filter(lambda one: is_file(one / name), folders):
        config = read_json(folder / name)
        text = special_text(config.get("eos_token"))
        file = folder / "tokenizer.json"
        token = None if text is None else _id_of(text, config, file)
        if token is not None:
            yield name, token


def _id_of(text: str, config: dict[str, Any], file: Path) -> int | None:
    for number, entry in nested(config, "added_tokens_decoder").items():
        if special_text(entry) == text and number.isdecimal() and len(number) < _DIGITS:
            return int(number)
    tokenizer = read_json(file) if is_file(file) else {}
    added = tokenizer.get("added_tokens")
    for entry in added if isinstance(added, list) else []:
        if special_text(entry) == text and is_whole(entry.get("id")):
            return int(entry["id"])
    token = nested(nested(tokenizer, "model"), "vocab").get(text)
    return token if is_whole(token) else None
