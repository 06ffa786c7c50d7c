"""A tokenizer that would fill any memory is refused before it encodes a letter."""

from __future__ import annotations

import pytest
from tokenizers import decoders, normalizers

from llm_walkthrough.guards.growth import check_growth


def test_what_multiplies_beyond_measure_is_refused() -> None:
    doubling = [normalizers.Replace("a", "aa")] * 10
    with pytest.raises(ValueError, match="more than 1,000 letters"):
        check_growth(normalizers.Sequence(doubling))


def test_it_is_found_in_a_sequence_of_sequences_and_in_a_decoder() -> None:
    inner = normalizers.Sequence([normalizers.Replace("a", "a" * 40)])
    with pytest.raises(ValueError, match="more than 1,000 letters"):
        check_growth(None, normalizers.Sequence([inner, normalizers.NFC(), inner]))
    step = decoders.Replace("a", "a" * 2_000)
    with pytest.raises(ValueError, match="more than 1,000 letters"):
        check_growth(None, decoders.Sequence([decoders.Fuse(), step]))


def test_usual_ones_pass() -> None:
    named = normalizers.Replace(" ", "\u2581"), normalizers.Prepend("\u2581")
    removing = normalizers.Replace("a", "")
    check_growth(normalizers.Sequence([*named, removing]), decoders.ByteLevel(), None)
