from __future__ import annotations

import pytest
import tiny_tokenizer
from tokenizers import decoders, pre_tokenizers

from llm_walkthrough.model_files.token_text import ByteLevel, Sentencepiece, token_text


def test_the_byte_disguise_is_the_one_of_the_library() -> None:
    disguise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    surrogates = range(0xD800, 0xE000)
    codes = {*range(0x800), *range(0x800, 0x110000, 97)} - set(surrogates)
    seen: set[str] = set()
    for character in map(chr, codes):
        ((written, _),) = disguise.pre_tokenize_str(character)
        assert ByteLevel().token_bytes(written) == character.encode()
        seen.update(written)
    assert len(seen) == 256 - 13, "every byte that UTF-8 uses"


@pytest.mark.parametrize(
    ("decoder", "style"),
    [
        (decoders.ByteLevel(), ByteLevel),
        (decoders.Sequence([decoders.ByteLevel()]), ByteLevel),
        (tiny_tokenizer.sentencepiece().decoder, Sentencepiece),
        (decoders.Metaspace(), Sentencepiece),
    ],
)
def test_the_decoder_tells_the_style(decoder: decoders.Decoder, style: type) -> None:
    assert isinstance(token_text(decoder), style)


@pytest.mark.parametrize(
    "decoder",
    [
        None,
        decoders.WordPiece(),
        decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)]),
    ],
)
def test_a_decoder_of_another_style_is_named(decoder: decoders.Decoder | None) -> None:
    with pytest.raises(ValueError, match=r"missing|WordPiece|ByteLevel \+ Strip"):
        token_text(decoder)


@pytest.mark.parametrize(
    ("decoder", "text"),
    [
        (decoders.Metaspace(prepend_scheme="always"), "the  a"),
        (decoders.Metaspace(prepend_scheme="never"), " the  a"),
        (decoders.Replace("▁", " "), " the  a"),
        (tiny_tokenizer.sentencepiece().decoder, "the  a"),
    ],
)
def test_only_the_first_space_of_a_text_may_be_dropped(
    decoder: decoders.Decoder, text: str
) -> None:
    style = token_text(decoder)
    written = ["▁the", "▁", "▁a"]
    join = style.new_join()
    assert "".join(map(join.feed, written)) + join.flush() == text
    assert style.text_bytes(written) == text.encode()
    assert b"".join(map(style.token_bytes, written)) == b" the  a"


def test_byte_tokens_are_text_where_the_decoder_knows_none() -> None:
    written = ["<0x41>"]
    without = token_text(decoders.Metaspace())
    assert without.token_bytes("<0x41>") == without.text_bytes(written) == b"<0x41>"
    assert tiny_tokenizer.sentencepiece().decoder.decode(written) == "A"
    assert (
        token_text(tiny_tokenizer.sentencepiece().decoder).text_bytes(written) == b"A"
    )


def test_a_first_byte_token_that_is_a_space_is_dropped_as_well() -> None:
    style = token_text(tiny_tokenizer.sentencepiece().decoder)
    join = style.new_join()
    written = ["<0x20>", "<0x20>", "a"]
    assert "".join(map(join.feed, written)) == " a"
    assert style.text_bytes(written) == b" a"


def test_a_join_without_tokens_is_empty() -> None:
    for decoder in (decoders.ByteLevel(), tiny_tokenizer.sentencepiece().decoder):
        join = token_text(decoder).new_join()
        assert join.flush() == ""
        assert join.pending == b""
        assert token_text(decoder).text_bytes([]) == b""
