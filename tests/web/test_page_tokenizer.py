from __future__ import annotations

from pathlib import Path

import pytest
from page_tokenizer import open_tokenizer
from tiny_tokenizer import CHATML, byte_level, write_folder

from llm_walkthrough import tokenizer as native
from llm_walkthrough.catalogue import find
from llm_walkthrough.tokenizer import Tokenizer

TEXTS = ("the 🙂 a the", "<|im_start|>user\nthe<|im_end|>\n", " \t\n ", "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path, byte_level(), chat_template=CHATML)


def both(folder: Path) -> tuple[Tokenizer, Tokenizer]:
    """The package's own, and that of the page, to which it lends its `encode`."""
    own = native.open_tokenizer(folder)
    return own, open_tokenizer(folder, lambda text: own.encode(text).tolist())


def test_it_reads_and_writes_as_the_library_does(folder: Path) -> None:
    own, page = both(folder)
    assert page.vocab == own.vocab
    assert page.special_tokens == own.special_tokens
    assert page.for_vocab(300).spare == own.for_vocab(300).spare
    ids = range(own.vocab)
    assert [page.written(i) for i in ids] == [own.written(i) for i in ids]
    assert [page.piece(i) for i in ids] == [own.piece(i) for i in ids]
    for text in TEXTS:
        tokens = own.encode(text)
        assert page.encode(text).tolist() == tokens.tolist()
        assert page.decode(tokens) == own.decode(tokens)
        assert page.decode(tokens, show_special=True) == text
    assert page.decode(ids, show_special=True) == own.decode(ids, show_special=True)
    message = [{"role": "user", "content": "the"}]
    assert page.chat(message) == own.chat(message)


@pytest.mark.model
def test_it_reads_and_writes_every_token_of_the_default_model() -> None:
    own, page = both(find("smollm2-float32"))
    assert page.vocab == own.vocab
    assert page.special_tokens == own.special_tokens
    ids = range(own.vocab)
    assert [page.piece(i) for i in ids] == [own.piece(i) for i in ids]
    assert page.decode(ids) == own.decode(ids)
