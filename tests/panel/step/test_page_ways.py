from __future__ import annotations

from typing import TYPE_CHECKING

from walking import Reader, made, steps, take, tokenizer, walk

from llm_walkthrough.panel.step.page_ways import ways_section

if TYPE_CHECKING:
    from llm_walkthrough.panel.step.walk import Walk


def drawn(one: Walk) -> Reader:
    shot = one.snapshot()
    return Reader(ways_section(shot.ways, len(shot.made), tokenizer()))


def branched() -> Walk:
    one = walk()
    steps(one, 4)
    one.act("back", 2)
    take(one, 8)
    return one


def test_each_way_is_a_button_that_goes_there() -> None:
    one = branched()
    buttons = drawn(one).actions("switch")
    assert [b["data-value"] for b in buttons] == ['"A"', '"B"']
    assert [b["aria-pressed"] for b in buttons] == ["false", "true"]


def test_a_way_shows_its_log_probability() -> None:
    one = branched()
    page = drawn(one)
    for way in one.snapshot().ways:
        assert way.log_probability is not None
        assert f"log p {way.log_probability:.2f}" in page.text


def test_a_way_shows_its_tokens_from_where_it_parts() -> None:
    one = branched()
    last = tokenizer().decode(made(one)[-1:], show_special=True)
    tips = [str(b["data-tip"]) for b in drawn(one).actions("switch")]
    assert tips[0].startswith("4 tokens")
    assert tips[1].startswith("3 tokens")
    assert tips[1].endswith(f": {last}") or not last.isprintable()


def test_the_place_where_the_next_token_comes_is_marked_once() -> None:
    one = branched()
    assert len(drawn(one).styled("lw-here")) == 1
    one.act("back", 1)
    assert len(drawn(one).styled("lw-here")) == 1


def test_a_way_with_a_token_from_elsewhere_says_that_it_is_not_known() -> None:
    one = walk()
    one.stepper.step()
    assert "log p not known" in drawn(one).text
