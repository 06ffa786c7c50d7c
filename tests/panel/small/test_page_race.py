from __future__ import annotations

from dataclasses import replace

import numpy as np
from walking import PROMPT, Reader, numbers, tokenizer, toy

from llm_walkthrough.panel.small.page_race import page, twin
from llm_walkthrough.panel.small.race import Lap, Race, Raced, Round
from llm_walkthrough.panel.wording import quoted


class Hostile:
    def piece(self, token: int) -> str:
        return ["<script>", "x" * 300, "</style>"][token % 3]


def race(*rounds: Round, steps: int = 0) -> Raced:
    """Return a race of these rounds, or of so many steps of the toy."""
    one = Race(toy(), PROMPT)
    for _ in range(steps):
        one.do("step")
    shot = one.snapshot()
    return replace(shot, now=replace(shot.now, rounds=rounds)) if rounds else shot


ROUNDS = (
    Round(Lap(5, 0.020, 40), Lap(5, 0.020, 40)),
    Round(Lap(1, 0.010, 41), Lap(6, 0.040, 41)),
)


def drawn(shot: Raced) -> Reader:
    return Reader(page(shot, tokenizer()))


def test_tokens_and_milliseconds_stand_for_this_step_and_in_all() -> None:
    text = drawn(race(*ROUNDS)).text
    assert "this stepwith the cache110.0without640.0" in text
    assert "in allwith the cache630.0without1160.0" in text


def test_the_bars_are_as_long_as_the_numbers() -> None:
    shown = drawn(race(*ROUNDS))
    bars = [a["style"] for t, a in shown.tags if t == "i" and a.get("style")]
    shares = [numbers(str(bar))[0] for bar in bars[:8]]
    # fed, then milliseconds: with the cache, without it; this step, then in all
    assert np.allclose(shares, [16.67, 25, 100, 100, 54.55, 50, 100, 100], atol=0.01)


def test_it_says_how_many_times_the_work_is_saved() -> None:
    text = drawn(race(*ROUNDS)).text
    assert "Without the cache: 1.8 times the tokens, 2.0 times the time." in text


def test_it_counts_where_both_chose_the_same_token() -> None:
    other = Round(Lap(1, 0.01, 42), Lap(7, 0.04, 43))
    shown = drawn(race(*ROUNDS, other))
    assert "the same in 2 of 3" in shown.text
    assert len(shown.styled("lw-held")) == 1
    a, b = (quoted(tokenizer().piece(token)) for token in (42, 43))
    assert f"With the cache {a} was likeliest, without it {b}" in shown.text
    assert f"step 3: without the cache {b}" in shown.text


def test_the_map_shows_the_slot_that_was_just_written() -> None:
    shown = drawn(race(steps=3))
    (picture,) = shown.styled("lw-map")
    assert picture["aria-label"] == (
        "Cache: 2 layers by 7 positions; the last run wrote slot 6."
    )


def test_before_the_first_step_there_is_an_empty_map_and_what_step_will_do() -> None:
    shown = drawn(race())
    assert "Step feeds the 5 tokens of the prompt" in shown.text
    assert "the last run wrote nothing" in str(shown.styled("lw-map"))


def test_only_a_running_race_asks_for_the_next_step() -> None:
    shot = race()
    assert "data-tick" not in page(shot, tokenizer())
    running = replace(shot, now=replace(shot.now, running=True))
    assert 'data-tick="0"' in page(running, tokenizer())
    assert len(drawn(running).actions("stop")) == 1


def test_reset_is_off_until_a_step_is_made() -> None:
    assert drawn(race()).actions("reset")[0]["aria-disabled"] == "true"
    assert "aria-disabled" not in drawn(race(steps=1)).actions("reset")[0]


def test_hostile_tokens_are_shown_as_text() -> None:
    shot = race(*ROUNDS)
    shown = Reader(page(shot, Hostile()))
    assert {"script", "style"}.isdisjoint(tag for tag, _ in shown.tags)
    assert "x" * 100 not in shown.text
    stored, _ = twin(shot, Hostile())
    assert "<script>" not in stored
    assert "x" * 100 not in stored


def test_the_picture_tells_the_numbers_also_in_words_and_is_small() -> None:
    shown, words = twin(race(*ROUNDS), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "2 steps; both ways chose the same token in 2 of them" in stored
        assert "60.0 ms" in stored
    assert "class=" not in shown
    assert len(twin(race(*(ROUNDS * 100)), tokenizer())[0]) < 60_000
