from __future__ import annotations

from walking import Reader, numbers, tokenizer

from llm_walkthrough.panel.page_engine import cache_section, feed_table
from llm_walkthrough.panel.watched import CacheFacts, FedArray, Feed

FACTS = CacheFacts(
    length=52, capacity=8192, layers=30, kv_heads=3, head_dim=64, number_bytes=4
)


def test_the_map_is_as_wide_as_the_cache_and_the_bytes_are_those_of_the_formula() -> (
    None
):
    page = Reader(cache_section(FACTS, prompt_length=41, written=1))
    for style, width in (("prompt", 41), ("made", 10), ("new", 1)):
        (part,) = [a for a in page.styled(f"lw-c-{style}") if a.get("style")]
        assert numbers(str(part["style"]))[0] == width
    (drawn,) = page.styled("lw-map")
    assert drawn["aria-label"] == (
        "Cache: 30 layers by 52 positions; the last run wrote slot 51."
    )
    assert "30 layers × K,V × 3 kv_heads × 52 × 64 × 4 B = 2.40 MB" in page.text
    assert "at 8,192 tokens: 377.49 MB" in page.text


def test_a_feed_names_its_first_tokens_and_what_has_grown() -> None:
    def feed(count: int, width: int) -> Feed:
        mask = FedArray("attention_mask", "int64", (1, width), 1, 8 * width)
        ids = FedArray("input_ids", "int64", (1, count), 1, 8 * count)
        return Feed((40,) * count, (ids, mask))

    first = Reader(feed_table(feed(5, 5), None, tokenizer())).text
    assert f"{tokenizer().piece(40)} " in first
    assert "… and 2 more" in first
    assert "the first run" in first
    then = Reader(feed_table(feed(1, 6), feed(5, 5), tokenizer())).text
    assert "int64 [1, 6]" in then
    assert "+1 wide" in then
