"""The tokens of the byte-level tokenizer in miniature, as a grammar sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiny_tokenizer import byte_level, write_folder

from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.tokenizer import open_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


def tiny_vocabulary(folder: Path) -> GrammarVocabulary:
    """Write the tokenizer to a folder, and read it."""
    tokenizer = open_tokenizer(write_folder(folder, byte_level()))
    end = max(tokenizer.special_tokens)
    return GrammarVocabulary(tokenizer, tokenizer.vocab, (end,))
