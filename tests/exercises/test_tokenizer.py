"""Tests of the checks of notebook 02: solutions pass, typical mistakes get a hint."""

from __future__ import annotations

import codecs
import json
from typing import TYPE_CHECKING

import pytest
from tiny_tokenizer import CHATML, byte_level, write_folder

from llm_walkthrough.exercises.tokenizer import (
    ROUTINE,
    check_chat,
    check_stream,
    check_tokens_saved,
)
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.model_files.chat_template import Message

OPENING = "<|im_start|>assistant\n"


@pytest.fixture
def tokenizer(tmp_path: Path) -> Tokenizer:
    library = byte_level()
    library.add_tokens(["    "])  # so that tokens and characters differ in number
    return open_tokenizer(write_folder(tmp_path, library, chat_template=CHATML))


# --- the chat text ----------------------------------------------------------------


def turn(message: Message) -> str:
    return f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n"


def chat(messages: Sequence[Message]) -> str:
    return "".join(map(turn, messages)) + OPENING


def test_the_chat_of_the_solution_passes(tokenizer: Tokenizer) -> None:
    assert check_chat(chat, tokenizer).is_right


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        (lambda m: "".join(map(turn, m)), "generation prompt"),
        (lambda m: chat(m).rstrip("\n"), "white space"),
        (lambda m: chat(m).replace("<|im_end|>\n", "<|im_end|>"), "white space"),
        (lambda m: chat(m).replace("system", ""), "role 'system' is missing"),
        (lambda m: chat(m[:-1]), "'user' is missing"),
        (lambda m: chat(m).replace("<|im_end|>", ""), "<|im_end|> stands in it 0"),
        (lambda m: chat(m) + "<|im_end|>", "<|im_end|> stands in it 3"),
        (lambda m: chat(m).replace("<|im_end|>", "</s>", 1), "instead of 2"),
        (lambda m: chat(m).replace("user\n", "user: "), "<|im_start|>user'"),
        (lambda m: chat(m[:2]), "four do not"),
        (lambda m: [turn(one) for one in m], "returned a list"),
        (lambda m: m[0]["text"], "KeyError"),
    ],
)
def test_a_wrong_chat_text_gets_its_hint(
    mistake: Callable[[Sequence[Message]], str], word: str, tokenizer: Tokenizer
) -> None:
    verdict = check_chat(mistake, tokenizer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- the stream -------------------------------------------------------------------


def stream(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    utf8 = codecs.getincrementaldecoder("utf-8")()
    return [utf8.decode(tokenizer.token_bytes(int(token))) for token in tokens]


def one_by_one(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    return [tokenizer.decode([token]) for token in tokens]


def whole_so_far(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    end = range(1, len(tokens) + 1)
    texts = [tokenizer.decode(tokens[:stop]) for stop in end]
    return [text.replace("\ufffd", "") for text in texts]


def everything_at_the_end(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    return [*[""] * (len(tokens) - 1), tokenizer.decode(tokens)]


def only_what_is_new(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    return [text for text in stream(tokenizer, tokens) if text]


def without_spaces(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    return [text.strip() for text in stream(tokenizer, tokens)]


def without_broken_characters(tokenizer: Tokenizer, tokens: TokenIds) -> list[str]:
    return [t.replace("\ufffd", "") for t in one_by_one(tokenizer, tokens)]


def test_the_stream_of_the_solution_passes(tokenizer: Tokenizer) -> None:
    assert check_stream(stream, tokenizer).is_right


@pytest.mark.parametrize(
    ("mistake", "word"),
    [
        (one_by_one, "� appears"),
        (whole_so_far, "whole text so far"),
        (everything_at_the_end, "later than it could"),
        (only_what_is_new, "texts came out"),
        (without_spaces, "Spaces were lost"),
        (without_broken_characters, "Joined, the texts give"),
        (lambda _, tokens: tokens, "list of texts"),
    ],
)
def test_a_wrong_stream_gets_its_hint(
    mistake: Callable[[Tokenizer, TokenIds], list[str]],
    word: str,
    tokenizer: Tokenizer,
) -> None:
    verdict = check_stream(mistake, tokenizer)
    assert verdict.is_right is False
    assert word in verdict.message


# --- the tokens saved -------------------------------------------------------------


def cost(tokenizer: Tokenizer, text: str) -> int:
    return len(tokenizer.encode(text))


def test_the_right_number_of_tokens_passes(tokenizer: Tokenizer) -> None:
    pretty = cost(tokenizer, json.dumps(ROUTINE, indent=4))
    compact = cost(tokenizer, json.dumps(ROUTINE, separators=(",", ":")))
    verdict = check_tokens_saved(pretty - compact, tokenizer)
    assert verdict.is_right
    assert f"{pretty} tokens against {compact}" in verdict.message


def test_a_wrong_number_of_tokens_gets_its_hint(tokenizer: Tokenizer) -> None:
    indented = json.dumps(ROUTINE, indent=4)
    compact = json.dumps(ROUTINE, separators=(",", ":"))
    pretty, spaced, short = (
        cost(tokenizer, text) for text in (indented, json.dumps(ROUTINE), compact)
    )
    hints = {
        len(indented) - len(compact): "characters",
        short - pretty: "sign",
        pretty - spaced: "separators",
        pretty: "indented text alone",
        short: "compact text alone",
        pretty + 1: "not the difference",
    }
    for number, word in hints.items():
        verdict = check_tokens_saved(number, tokenizer)
        assert verdict.is_right is False
        assert word in verdict.message
