"""A whole model folder in miniature: the graph of `tiny_graph`, a letter for an id."""

from __future__ import annotations

from pathlib import Path

from tiny_graph import CONTEXT, END_TOKENS, GROUPED, VOCAB, write_model
from tiny_tokenizer import CHATML, write_folder
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

__all__ = ["CONTEXT", "END_TOKENS", "write_tiny_folder"]

LETTERS = "ĠĊabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,?!<>|_"


def write_tiny_folder(folder: Path, *, quotes: bool = False) -> Path:
    """Write graph, configuration, tokenizer and chat template."""
    write_model(folder, GROUPED)
    letters = LETTERS.replace("Q", '"') if quotes else LETTERS
    return write_folder(folder, _tokenizer(letters), chat_template=CHATML)


def _tokenizer(letters: str) -> Tokenizer:
    """One token for each letter; the end tokens of the graph are special tokens."""
    words = list(letters[: VOCAB - 2])
    for token, text in zip(END_TOKENS, ("<|im_end|>", "<|end|>"), strict=True):
        words.insert(token, text)
    tokenizer = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|im_end|>", "<|end|>"])
    return tokenizer
