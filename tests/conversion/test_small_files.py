from __future__ import annotations

import json
import re
import unicodedata
from itertools import pairwise
from pathlib import Path

import gguf
import pytest
from tiny_gguf import TEMPLATE, byte_letters, write_tiny_gguf
from tokenizers import Tokenizer

from llm_walkthrough.catalogue import fetch_gguf, find
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.errors import InputError

TEXTS = [
    "Give me a short yoga routine for lower back pain.",
    "In 2024 there were 1,234,567 cats; x=12ab34 and 3.14159.",
    "  two  spaces,\ttabs\n\n\nand newlines \n at the end  ",
    "don't we'll I'M they'd HE'S",
    "def f(n):\n    return n if n < 2 else f(n - 1) + f(n - 2)\n",
    "Größe, naïve, čeština, Ελληνικά, עברית, हिन्दी, ไทย",
    "日本語のテキスト、中文。한국어 12月",
    "😀🎉👩‍👩‍👧 emoji ½ ² Ⅷ ٣",
    "$%^&*()_+-=[]{};'\\:\"|,./<>?`~ a_b __init__",
    "\u00a0no-break\u2003space\r\nCRLF",
    "",
]
SPLIT = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[^\W_]+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


class PlainBPE:
    """Byte-level BPE as its papers tell it: split, then merge the earliest rule."""

    def __init__(self, path: Path) -> None:
        fields = gguf.GGUFReader(path).fields
        tokens = fields["tokenizer.ggml.tokens"].contents()
        merges = fields["tokenizer.ggml.merges"].contents()
        self.ids = {token: token_id for token_id, token in enumerate(tokens)}
        self.ranks = {tuple(m.split(" ")): rank for rank, m in enumerate(merges)}
        self.letters = byte_letters()

    def encode(self, text: str) -> list[int]:
        return [
            self.ids[part] for word in self._words(text) for part in self._merge(word)
        ]

    def _words(self, text: str) -> list[str]:
        """Every digit alone; what lies between digits as GPT-2 splits it."""
        words, run = [], ""
        for character in text:
            if unicodedata.category(character).startswith("N"):
                words += [*SPLIT.findall(run), character]
                run = ""
            else:
                run += character
        return words + SPLIT.findall(run)

    def _merge(self, word: str) -> list[str]:
        parts = [self.letters[byte] for byte in word.encode()]
        while known := [pair for pair in pairwise(parts) if pair in self.ranks]:
            first = min(known, key=lambda pair: self.ranks[pair])
            place = list(pairwise(parts)).index(first)
            parts[place : place + 2] = ["".join(first)]
        return parts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    convert(
        write_tiny_gguf(tmp_path / "tiny.gguf"), tmp_path / "tiny", variant="float32"
    )
    return tmp_path / "tiny"


def tokenizer_of(folder: Path) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def test_text_gets_the_ids_of_the_files_own_merges(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer, plain = tokenizer_of(folder), PlainBPE(tmp_path / "tiny.gguf")
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == plain.encode(text)


@pytest.mark.model
def test_text_gets_the_ids_of_the_default_models_own_merges() -> None:
    tokenizer = tokenizer_of(find("smollm2-135m-instruct-int4"))
    plain = PlainBPE(fetch_gguf("smollm2-135m-instruct"))
    for text in TEXTS:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids == plain.encode(text)
        assert tokenizer.decode(ids) == text


def test_a_special_token_in_text_is_one_token(folder: Path) -> None:
    encoding = tokenizer_of(folder).encode("<|im_start|>the<|im_end|>")
    assert encoding.tokens == ["<|im_start|>", "t", "he", "<|im_end|>"]


def test_the_configuration_keeps_the_template_and_all_that_ends_an_answer(
    folder: Path,
) -> None:
    config, genai = (
        json.loads((folder / name).read_text("utf-8"))
        for name in ("tokenizer_config.json", "genai_config.json")
    )
    assert config["chat_template"] == TEMPLATE
    named = {role: config[f"{role}_token"] for role in ("bos", "eos")}
    assert named == {"bos": "<|im_start|>", "eos": "<|im_end|>"}
    assert genai["model"]["eos_token_id"] == [2, 0]
    assert genai["search"]["past_present_share_buffer"] is True
    assert genai["search"]["max_length"] == genai["model"]["context_length"] == 128


def test_another_way_to_split_text_is_named(tmp_path: Path) -> None:
    fields = {"tokenizer.ggml.pre": "chameleon"}
    path = write_tiny_gguf(tmp_path / "tiny.gguf", fields=fields)
    with pytest.raises(InputError, match="splits text as 'chameleon'"):
        convert(path, tmp_path / "model", variant="int4")
    assert not (tmp_path / "model").exists()
