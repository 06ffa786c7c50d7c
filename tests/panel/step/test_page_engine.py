from __future__ import annotations

import re

import pytest
from walking import PROMPT, Reader, made, numbers, steps, tokenizer, walk

from llm_walkthrough.panel.page_engine import cache_map
from llm_walkthrough.panel.step.page_engine import (
    REST,
    cache_section,
    feed_section,
    foot,
)
from llm_walkthrough.panel.watched import CacheFacts

FACTS = CacheFacts(
    length=52, capacity=8192, layers=30, kv_heads=3, head_dim=64, number_bytes=4
)


def flex(page: Reader, style: str) -> list[float]:
    return [numbers(str(a["style"]))[0] for a in page.styled(style) if a.get("style")]


def test_the_map_is_as_wide_as_the_cache_and_tells_its_parts_apart() -> None:
    page = Reader(cache_map(FACTS, prompt_length=41, written=1))
    assert flex(page, "lw-c-prompt") == [41]
    assert flex(page, "lw-c-made") == [10]
    assert flex(page, "lw-c-new") == [1]
    (drawn,) = page.styled("lw-map")
    assert drawn["aria-label"] == (
        "Cache: 30 layers by 52 positions; the last run wrote slot 51."
    )


def test_the_bytes_are_those_of_the_formula() -> None:
    page = Reader(cache_map(FACTS, prompt_length=41, written=1))
    assert "30 layers × K,V × 3 kv_heads × 52 × 64 × 4 B = 2.40 MB" in page.text
    assert "at 8,192 tokens: 377.49 MB" in page.text


def test_prefill_writes_all_slots_at_once() -> None:
    one = walk()
    page = Reader(cache_section(one.snapshot()))
    assert flex(page, "lw-c-new") == [len(PROMPT)]
    assert flex(page, "lw-c-prompt") == []
    assert "slots 0 to 4" in page.text


def test_a_step_writes_one_slot() -> None:
    one = walk()
    steps(one, 3)
    page = Reader(cache_section(one.snapshot()))
    assert flex(page, "lw-c-prompt") + flex(page, "lw-c-made") == [5, 2]
    assert flex(page, "lw-c-new") == [1]
    assert one.stepper.cache.length == 8


def test_the_feed_is_the_dictionary_of_the_last_run_and_what_is_new_in_it() -> None:
    one = walk()
    first = Reader(feed_section(one.snapshot(), tokenizer())).text
    assert "… and 2 more" in first
    assert first.count("the first run") == 2
    steps(one, 2)
    text = Reader(feed_section(one.snapshot(), tokenizer())).text
    assert "input_ids8 Bint64 [1, 1]" in text
    assert tokenizer().piece(made(one)[-1]) in text
    assert "int64 [1, 7]" in text
    assert "past_key_values.* ×4" in text
    assert text.count("+1 wide") == 2


def test_the_foot_tells_the_times_of_the_runs() -> None:
    one = walk()
    assert REST not in foot(one.snapshot())
    steps(one, 2)
    shot = one.snapshot()
    page = foot(shot)
    (model,) = re.findall(r"model <b>([\d.]+) ms", page)
    assert float(model) == pytest.approx(1000 * shot.runs[-1].seconds, abs=0.06)
    assert REST in page
    assert "prefill 5 tokens" in page
    assert "decode" in page
