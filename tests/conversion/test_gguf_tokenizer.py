from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf.constants import TokenType
from tiny_gguf import MERGES, SPECIAL, vocabulary, write_tiny_gguf
from tokenizers import Tokenizer

from llm_walkthrough.conversion.gguf_model import GgufModel
from llm_walkthrough.conversion.gguf_tokenizer import make_tokenizer
from llm_walkthrough.errors import InputError

PIECES = (
    *("the", "in", "er", "re", "on", "at", "ing", "an", "and", "en", "es", "or", "te"),
    *("ed", "is", "it", "al", "ar", "st", "12", "20", "ab", "aa", "aaa", "é", "中"),
)


def tokenizer(tmp_path: Path, **fields: object) -> Tokenizer:
    named = {f"tokenizer.ggml.{key}": value for key, value in fields.items()}
    path = write_tiny_gguf(tmp_path / "tiny.gguf", fields=named)
    return make_tokenizer(GgufModel(path))


TEXT = "I'M 12345 cats\n\n  x=1!!\nCamelCase"
WORDS = {
    "smollm": "I|'|M| |1|2|3|4|5| cats|\n\n | x|=|1|!!|\n|CamelCase",
    "gpt-2": "I|'|M| 12345| cats|\n\n | x|=|1|!!|\n|CamelCase",
    "llama-bpe": "I|'M| |123|45| cats|\n\n| | x|=|1|!!\n|CamelCase",
    "qwen2": "I|'M| |1|2|3|4|5| cats|\n\n| | x|=|1|!!\n|CamelCase",
    "tekken": "I|'M| |1|2|3|4|5| cats|\n\n| | x|=|1|!!\n|Camel|Case",
}


@pytest.mark.parametrize("pre", WORDS)
def test_text_is_split_as_the_file_says(tmp_path: Path, pre: str) -> None:
    splitter = tokenizer(tmp_path, pre=pre).pre_tokenizer
    places = [place for _, place in splitter.pre_tokenize_str(TEXT)]
    assert [TEXT[start:end] for start, end in places] == WORDS[pre].split("|")


def test_a_word_of_the_vocabulary_is_taken_whole_only_where_it_is_so(
    tmp_path: Path,
) -> None:
    """Take "the": no merge makes it without the space before it."""
    tokens = [*vocabulary()[:-1], "the"]
    given = {"tokens": tokens, "merges": MERGES[:-1]}
    kinds = {"llama-bpe": ["the"], "qwen2": ["t", "he"]}
    for pre, wanted in kinds.items():
        found = tokenizer(tmp_path, pre=pre, **given).encode("the").tokens
        assert found[-len(wanted) :] == wanted


def test_accents_are_composed_where_the_original_does_so(tmp_path: Path) -> None:
    apart, composed = "e\u0301", "\u00e9"
    for pre, is_same in (("qwen2", True), ("gpt-2", False)):
        encode = tokenizer(tmp_path, pre=pre).encode
        assert (encode(apart).ids == encode(composed).ids) is is_same


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"pre": "qwen2"}, "a"),
        ({"pre": "llama-bpe"}, SPECIAL[1]),
        ({"pre": "llama-bpe", "add_bos_token": False}, "a"),
        ({"pre": "smollm", "add_bos_token": True}, SPECIAL[1]),
    ],
)
def test_a_text_begins_with_bos_as_the_file_says(
    tmp_path: Path, given: dict[str, Any], first: str
) -> None:
    made = tokenizer(tmp_path, **given)
    assert made.encode("a").tokens[0] == first
    assert made.encode("a", add_special_tokens=False).tokens == ["a"]


def test_tokens_that_a_user_defined_stay_whole_but_are_text(tmp_path: Path) -> None:
    kinds = [TokenType.CONTROL] * 3 + [TokenType.NORMAL] * 261
    kinds[-1] = TokenType.USER_DEFINED
    made = tokenizer(tmp_path, token_type=kinds)
    assert made.encode("x12y").tokens == ["x", "12", "y"]
    assert made.decode(made.encode("12<|im_end|>").ids) == "12"


# --- SentencePiece ------------------------------------------------------------------
class PlainPieces:
    """SentencePiece as its paper tells it: join the two neighbours of best score."""

    def __init__(self, scores: dict[str, float], ids: dict[str, int]) -> None:
        self.scores, self.ids = scores, ids

    def encode(self, text: str) -> list[int]:
        parts = [*("▁" + text).replace(" ", "▁")] if text else []
        while joined := [a + b for a, b in pairwise(parts) if a + b in self.scores]:
            best = max(joined, key=lambda piece: self.scores[piece])
            place = [a + b for a, b in pairwise(parts)].index(best)
            parts[place : place + 2] = [best]
        return [token for part in parts for token in self._ids(part)]

    def _ids(self, part: str) -> list[int]:
        if part in self.ids:
            return [self.ids[part]]
        return [self.ids[f"<0x{byte:02X}>"] for byte in part.encode()]


def pieces_file(tmp_path: Path, **fields: object) -> tuple[Path, PlainPieces]:
    letters = [*"abcdefghijklmnopqrstuvwxyz0123456789▁.,é中"]
    words = [*PIECES, *("▁" + piece for piece in PIECES)]
    pairs = {word[:end] for word in words for end in range(2, len(word) + 1)}
    learnt = sorted(pairs, key=lambda piece: (len(piece), piece))
    np.random.default_rng(5).shuffle(learnt)
    special, octets = ["<unk>", "<s>", "</s>"], [f"<0x{b:02X}>" for b in range(256)]
    texts = [*special, *octets, *learnt, *(x for x in letters if x not in learnt)]
    normal = len(texts) - 259
    given: dict[str, Any] = {
        "model": "llama",
        "tokens": texts,
        "scores": [0.0] * 259 + [-float(place) for place in range(normal)],
        "token_type": [2, 3, 3] + [6] * 256 + [1] * normal,
        "unknown_token_id": 0,
        **fields,
    }
    named = {f"tokenizer.ggml.{key}": value for key, value in given.items()}
    path = write_tiny_gguf(tmp_path / "pieces.gguf", tokens=texts, fields=named)
    scores = {piece: -float(place) for place, piece in enumerate(texts[259:])}
    return path, PlainPieces(scores, {text: n for n, text in enumerate(texts)})


def test_pieces_are_joined_by_their_scores_on_a_thousand_texts(tmp_path: Path) -> None:
    path, plain = pieces_file(tmp_path, add_bos_token=False)
    made = make_tokenizer(GgufModel(path))
    dice = np.random.default_rng(9)
    signs = [
        *"the in er on ing aa12 é中. ,Zß😀\n\t",
        "  ",
        "and",
        "<0x0A>",
        "ab",
        "e\u0301",
    ]
    for _ in range(1000):
        text = "".join(
            signs[place] for place in dice.integers(0, len(signs), dice.integers(30))
        )
        ids = made.encode(text).ids
        assert ids == plain.encode(text)
        assert made.decode(ids) == text


def test_pieces_begin_with_bos_and_a_space_unless_the_file_says_otherwise(
    tmp_path: Path,
) -> None:
    path, _ = pieces_file(tmp_path)
    made = make_tokenizer(GgufModel(path))
    assert made.encode("the").tokens[0] == "<s>"
    assert made.encode("x</s>").tokens[-1] == "</s>"
    path, _ = pieces_file(tmp_path, add_bos_token=False, add_space_prefix=False)
    assert make_tokenizer(GgufModel(path)).encode("the").tokens == ["the"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"pre": "chameleon"}, "splits text as 'chameleon'; only SentencePiece"),
        ({"model": "t5"}, "its tokenizer 't5' splits text as"),
        ({"model": "llama"}, "scores must be a list of 264 numbers"),
        ({"merges": ["zz qq"]}, "merges must be pairs that fit its tokens"),
    ],
)
def test_what_is_not_known_is_named(
    tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        tokenizer(tmp_path, **given)
