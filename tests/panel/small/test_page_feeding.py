from __future__ import annotations

from dataclasses import replace

from walking import PROMPT, Reader, tokenizer, toy

from llm_walkthrough.panel.small.feeding import FedRuns, Feeding
from llm_walkthrough.panel.small.page_feeding import page, twin


class Hostile:
    def piece(self, token: int) -> str:
        return "<script>" if token % 2 else "x" * 300


def feeding(steps: int = 0) -> FedRuns:
    one = Feeding(toy(), PROMPT)
    for _ in range(steps):
        one.do("step")
    return one.snapshot()


def drawn(shot: FedRuns) -> Reader:
    return Reader(page(shot, tokenizer()))


def test_prefill_and_decode_are_named() -> None:
    assert "run 1: prefill" in drawn(feeding()).text
    assert "run 2: decode" in drawn(feeding(1)).text


def test_the_mask_is_spelled_out() -> None:
    assert "mask width 5 = 0 past + 5 new" in drawn(feeding()).text
    text = drawn(feeding(2)).text
    assert "mask width 7 = 6 past + 1 new" in text
    assert "cache length 6 → 7" in text


def test_the_lengths_are_told_in_words_too() -> None:
    (picture,) = drawn(feeding(2)).styled("lw-strips")
    assert picture["role"] == "img"
    assert picture["aria-label"] == (
        "mask width 7 = 6 past + 1 new; the cache grows from 6 to 7."
    )


def test_the_numbers_of_the_small_arrays_are_written_out() -> None:
    text = drawn(feeding()).text
    assert "input_ids = [[40, 41, 262, 43, 44]]" in text
    assert "attention_mask = [[1, 1, 1, 1, 1]]" in text
    text = drawn(feeding(2)).text
    assert "attention_mask = [[1, 1, 1, 1, …, 1, 1]]" in text


def test_what_is_new_since_the_run_before_is_marked() -> None:
    text = drawn(feeding(1)).text
    assert "past_key_values.* ×4" in text
    assert "float32 [1, 2, 5, 2]+5 wide" in text
    assert "int64 [1, 6]+1 wide" in text


def test_it_says_what_the_next_run_is_fed() -> None:
    shot = feeding(1)
    piece = tokenizer().piece(shot.shown[-1].chosen)
    assert f"Highest in the last row, and fed next: {piece}" in drawn(shot).text
    assert "logits [1, 1, 264]" in drawn(shot).text


def test_a_graph_without_a_mask_has_none_drawn() -> None:
    shot = feeding(1)
    runs = tuple(
        replace(
            run,
            feed=replace(
                run.feed,
                arrays=tuple(a for a in run.feed.arrays if "mask" not in a.name),
            ),
        )
        for run in shot.now.runs
    )
    text = drawn(replace(shot, now=replace(shot.now, runs=runs))).text
    assert "5 past + 1 new = 6; no mask is wanted" in text
    assert "attention_mask" not in text


def test_back_and_reset_are_off_at_the_first_run() -> None:
    for name in ("back", "reset"):
        assert drawn(feeding()).actions(name)[0]["aria-disabled"] == "true"
        assert "aria-disabled" not in drawn(feeding(1)).actions(name)[0]


def test_hostile_tokens_are_shown_as_text() -> None:
    for steps in range(4):
        shown = Reader(page(feeding(steps), Hostile()))
        assert "script" not in {tag for tag, _ in shown.tags}
        assert "x" * 100 not in shown.text
        assert "<script>" not in twin(feeding(steps), Hostile())[0]


def test_the_picture_tells_the_dictionary_also_in_words() -> None:
    shown, words = twin(feeding(2), tokenizer())
    for stored in (Reader(shown).text, words):
        assert "Run 3, decode: the dictionary" in stored
        assert "mask width 7 = 6 past + 1 new" in stored
        assert "past_key_values.*" in stored
    assert "class=" not in shown
    assert len(shown) < 60_000
    assert twin(feeding(2), tokenizer()) == (shown, words)
