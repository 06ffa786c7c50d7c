"""The tokens of the byte-level tokenizer in miniature, as a grammar sees them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from tiny_tokenizer import byte_level, write_folder

from llm_walkthrough.constraints.matcher import GrammarState, GrammarVocabulary
from llm_walkthrough.tokenizer import open_tokenizer


def _tiny_vocabulary() -> GrammarVocabulary:
    with TemporaryDirectory() as folder:
        tokenizer = open_tokenizer(write_folder(Path(folder), byte_level()))
    end = max(tokenizer.special_tokens)
    return GrammarVocabulary(tokenizer, tokenizer.vocab, (end,))


VOCABULARY = _tiny_vocabulary()


def along(state: GrammarState, text: bytes) -> GrammarState:
    """Give the state after a text, spelled in single bytes."""
    for byte in text:
        state = after(state, state.vocabulary.spelled.index(bytes([byte])))
    return state


def after(state: GrammarState, token: int) -> GrammarState:
    """Give the state after a token that may come."""
    following = state.after(token)
    assert following is not None
    return following
