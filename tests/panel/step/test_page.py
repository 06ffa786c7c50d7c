from __future__ import annotations

import json
import re
import time
from itertools import pairwise

import numpy as np
import pytest
from toy_model import SharedToy
from walking import (
    PROMPT,
    Reader,
    made,
    now,
    numbers,
    steps,
    take,
    tokenizer,
    toy,
    walk,
)

from llm_walkthrough import speculation
from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel import frame
from llm_walkthrough.panel.step import walk as walk_module
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.walk import Walk
from llm_walkthrough.panel.wording import quoted
from llm_walkthrough.sampling import uniform

EMOJI = tokenizer().encode("🙂").tolist()
KEPT = {"div", "b", "i", "span", "figure", "img"}
"""What a page of a notebook that is not trusted leaves in place, of what we use."""


def drawn(one: Walk, tab: str = "") -> Reader:
    """The page, with another tab opened if one is named."""
    if tab:
        one.act("side", tab)
    return Reader(page(one.snapshot(), tokenizer()))


def branched() -> Walk:
    one = walk()
    steps(one, 4)
    one.act("back", 2)
    take(one, 7)
    return one


def test_the_same_moment_gives_the_same_page_without_scripts_and_styles() -> None:
    one = walk()
    steps(one, 3)
    drawn_twice = [page(one.snapshot(), tokenizer()) for _ in range(2)]
    assert drawn_twice[0] == drawn_twice[1]
    tags = Reader(drawn_twice[0]).tags
    assert not {"script", "style", "link", "iframe", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, named in tags for name in named)
    assert "http" not in drawn_twice[0]


# --- head --------------------------------------------------------------------------


def test_a_running_panel_asks_for_the_next_step_and_offers_to_stop() -> None:
    one = walk()
    begun = drawn(one)
    assert "data-tick" not in begun.tags[0][1]
    assert "aria-disabled" in begun.actions("back")[0]
    for action, value in (("speed", "slow"), ("large", None), ("run", None)):
        one.act(action, value)
    one.act("tick")
    panel = drawn(one)
    assert panel.tags[0][1]["data-tick"] == "1000"
    assert "lw-large" in str(panel.tags[0][1]["class"])
    assert "aria-disabled" not in panel.actions("back")[0]
    assert (len(panel.actions("stop")), panel.actions("run")) == (1, [])


def test_it_says_what_the_next_step_does_unless_there_is_something_else_to_say() -> (
    None
):
    one = walk(toy(capacity=len(PROMPT) + 2))
    text = drawn(one).text
    steps(one, 1)
    assert f"picks {quoted(tokenizer().piece(made(one)[0]))} (" in text
    one.act("back", 9)
    assert "✗ between 1 and 1 steps can be taken back" in drawn(one).text
    steps(one, 1)
    assert "Step appends it" not in drawn(one).text
    assert "The context is full" in drawn(one).text


def test_the_tour_leads_line_by_line_and_gives_way_to_what_else_is_to_be_said() -> None:
    one = walk(tour=0)
    seen, ahead = [], drawn(one)
    while True:
        assert "Step appends it" not in ahead.text
        back, forth, end = ahead.actions("tour")[-3:]
        seen.append(ahead.text)
        assert f"{len(seen)} of " in ahead.text
        assert (back.get("aria-disabled") == "true") is (len(seen) == 1)
        if forth.get("aria-disabled") == "true":
            break
        one.act("tour", json.loads(forth["data-value"] or ""))
        ahead = drawn(one)
    assert len({*seen}) == len(seen) > 9
    assert f"{len(seen)} of {len(seen)}" in ahead.text
    one.act("back")
    assert "✗ there is no step to take back" in drawn(one).text
    one.act("reset")
    assert drawn(one).text == seen[-1]
    one.act("tour", json.loads(end["data-value"] or ""))
    assert "Step appends it" in drawn(one).text
    assert len(drawn(one).actions("tour")) == 1  # the one that begins it again


def test_what_the_tour_names_in_bold_is_in_the_panel() -> None:
    one, named = walk(), set[str]()
    panel = drawn(one).text
    for line in range(11):
        one.act("tour", line)
        named |= {
            *re.findall(r"<b>([A-Z]\w+|t\w+)</b>", page(one.snapshot(), tokenizer()))
        }
    named.discard("Tour")
    assert {"Step", "Reset", "Run", "temperature", "Branches", "Cache"} <= named
    assert [name for name in named if name not in panel] == []


def test_where_nothing_can_come_next_the_reason_stands_in_its_place() -> None:
    def until_one(logits: np.ndarray, context: np.ndarray) -> np.ndarray:
        return logits - float("inf") if len(context) > len(PROMPT) else logits

    one = walk(processors=[until_one])
    steps(one, 1)
    assert "Nothing: no token is left to choose from" in drawn(one).text
    assert "<img" not in twin(one.snapshot(), tokenizer())[0]
    assert len(drawn(one).actions("knob")) > 5


def test_a_guess_is_made_without_the_numbers_and_counted() -> None:
    one = walk()
    one.act("guessing")
    shown = drawn(one)
    pieces = [str(a["aria-label"]) for a in shown.actions("take")]
    assert pieces == sorted(pieces)
    assert len(pieces) == len(now(one).rows)
    assert shown.actions("u") == []
    tips = [str(a) for a in shown.actions("take")]
    assert not any("rank" in tip or "%" in tip for tip in (*tips, shown.text))
    take(one, 2)
    assert "of 1; the model’s favourite" in drawn(one).text


def test_a_button_that_writes_a_file_says_which() -> None:
    shown = drawn(walk())
    (page_button,) = shown.actions("export")
    assert "Save page" in shown.text
    assert "Picture" not in shown.text
    assert "HTML file" in str(page_button["title"])


# --- tokens ------------------------------------------------------------------------


def test_there_is_one_chip_for_each_token_and_a_click_on_a_made_one_goes_back() -> None:
    one = walk()
    steps(one, 5)
    one.act("back", 2)
    shown = drawn(one)
    for style, count in (("prompt", 4), ("special", 1), ("made", 3), ("next", 1)):
        assert len(shown.styled(f"lw-{style}")) == count
    assert len(shown.styled("lw-future")) == 2
    values = [str(a["data-value"]) for a in shown.actions("back_to")]
    before = made(one)
    one.act("back_to", int(values[1]))
    assert (values, made(one)) == (["0", "1", "2"], before[:1])


def test_a_chip_tells_id_probability_rank_and_who_chose_it() -> None:
    one = walk()
    token = take(one, 2)
    steps(one, 1)
    chosen, by_luck = drawn(one).styled("lw-made")
    told = rf"position 5 · id {token} · [\d.]+ % · rank 3 · your choice"
    assert re.search(told, str(chosen["aria-label"]))
    u = uniform(0, len(PROMPT) + 1)
    assert f"drawn, u = {u:.3f}" in str(by_luck["aria-label"])
    prompt = [a for a in drawn(one).styled("lw-prompt") if "data-tip" in a]
    assert str(prompt[0]["aria-label"]).endswith(" · prompt, position 0 · id 40")
    assert re.search(r"id 44 · [<\d.]+ % · rank \d+", str(prompt[-1]["aria-label"]))


def test_bytes_that_are_not_yet_a_character_are_held_back_until_they_are() -> None:
    one = walk()
    for count, token in enumerate(EMOJI, start=1):
        one.act("take", {"token": token, "position": one.stepper.position})
        shown = drawn(one, "Text")
        is_whole = count == len(EMOJI)
        held = [a for a in shown.styled("lw-made") if a in shown.styled("lw-held")]
        assert len(held) == (0 if is_whole else count)
        assert ("held back: not yet a character" in shown.text) != is_whole
        assert ("🙂" in shown.text) == is_whole


def test_of_a_long_text_the_end_is_drawn_and_the_rest_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(frame, "SHOWN_OF_PROMPT", 2)
    monkeypatch.setattr(frame, "SHOWN_OF_MADE", 3)
    one = walk()
    steps(one, 10)
    shown = drawn(one)
    assert len(shown.styled("lw-made")) == 3
    assert "… 3 earlier" in shown.text
    assert "… 7 earlier" in shown.text
    assert [a["data-value"] for a in shown.actions("back_to")] == ["7", "8", "9"]


def test_a_made_chip_is_tinted_by_its_probability_unless_it_is_held_back() -> None:
    one = walk()
    take(one, 0)
    likely, *_ = drawn(one).styled("lw-made")
    score = one.snapshot().made[0]
    assert score is not None
    assert frame.tint(score.score.probability) in str(likely["class"]).split()
    one.act("take", {"token": EMOJI[0], "position": one.stepper.position})
    assert "lw-t" not in str(drawn(one).styled("lw-held")[0]["class"])


def test_the_prompt_is_one_line_that_ends_as_the_prompt_and_opens_to_its_chips() -> (
    None
):
    one = walk()
    shown = drawn(one)
    folds = [tag for tag, a in shown.tags if "lw-fold" in str(a.get("class"))]
    assert folds == ["details"]
    assert f"Prompt, {len(PROMPT)} tokens: " in shown.text
    assert str(tokenizer().decode(PROMPT).split()[-1]) in shown.text
    assert not any("open" in a for tag, a in shown.tags if tag == "details")


# --- tabs and times ------------------------------------------------------------------


def test_the_open_tab_stays_open_and_branches_are_counted_on_theirs() -> None:
    one = walk()
    assert drawn(one).actions("side")[0]["aria-selected"] == "true"
    one.act("side", "Branches")
    for action, value in (("step", None), ("back", 1), ("roll", None), ("reset", None)):
        one.act(action, value)
        tabs = drawn(one).actions("side")
        chosen = [a["data-value"] for a in tabs if a["aria-selected"] == "true"]
        assert chosen == ['"Branches"']
    one.act("side", "no such tab")
    assert drawn(one).actions("side")[0]["aria-selected"] == "true"
    assert "Branches 2" in drawn(branched()).text


def test_map_and_feed_show_what_the_last_run_wrote_and_read() -> None:
    def widths(style: str) -> list[float]:
        drawn_now = drawn(one).styled(style)
        return [numbers(str(a["style"]))[0] for a in drawn_now if a.get("style")]

    one = walk()
    assert (widths("lw-c-new"), widths("lw-c-prompt")) == ([len(PROMPT)], [])
    assert "slots 0 to 4" in drawn(one).text
    assert drawn(one, "Feed").text.count("the first run") == 2
    one.act("side", "Cache")
    steps(one, 3)
    assert (widths("lw-c-prompt"), widths("lw-c-made")) == ([5], [2])
    assert widths("lw-c-new") == [1]
    assert drawn(one, "Feed").text.count("+1 wide") == 2


def test_each_branch_is_a_button_with_its_text_and_log_probability() -> None:
    one = branched()
    shown = drawn(one, "Branches")
    buttons = shown.actions("switch")
    assert [b["data-value"] for b in buttons] == ['"A"', '"B"']
    assert [b["aria-pressed"] for b in buttons] == ["false", "true"]
    assert [str(b["data-tip"])[:8] for b in buttons] == ["4 tokens", "3 tokens"]
    last = tokenizer().decode(made(one)[-1:], show_special=True)
    assert str(buttons[1]["data-tip"]).endswith(f": {last}") or not last.isprintable()
    branches = one.snapshot().branches
    assert len({len(branch.tokens) for branch in branches}) == 2
    for branch, button in zip(branches, buttons, strict=True):
        total = branch.log_probability
        assert total is not None
        mean = total / len(branch.tokens)  # totals of unequal lengths do not compare
        assert f"log p {total:.2f} · {mean:.2f}" in shown.text
        tip = str(button["data-tip"])
        assert f"tokens, log p {total:.2f}, {mean:.2f} per token: " in tip
    one.stepper.step()
    assert "log p not known" in drawn(one).text
    assert "0 tokens, log p 0.00: " in str(
        drawn(walk(), "Branches").actions("switch")[0]
    )


def test_the_place_where_the_next_token_comes_is_marked_once() -> None:
    one = branched()
    assert len(drawn(one, "Branches").styled("lw-here")) == 1
    one.act("back", 1)
    assert len(drawn(one).styled("lw-here")) == 1


def test_the_foot_tells_the_times_of_a_step_which_stay_until_the_next() -> None:
    one = walk()
    assert "all else –" in drawn(one).text
    steps(one, 2)
    text = drawn(one).text
    (model,) = re.findall(r"model ([\d.]+) ms", text)
    assert float(model) == pytest.approx(1000 * one.stepper.runs[-1].seconds, abs=0.06)
    (rest,) = re.findall(r"all else ([\d.]+) ms", text)
    one.act("roll")
    assert f"all else {rest} ms" in drawn(one).text
    assert "prefill 5 tokens" in text
    assert "decode" in text


def test_kept_guesses_are_marked_counted_and_take_no_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = walk()
    steps(plain, 12)
    known = plain.stepper.tokens

    def guess(tokens: TokenIds, _most: int) -> TokenIds:
        wrong = np.where(np.arange(len(known)) % 4 == 0, 1, 0)
        return (known + wrong)[len(tokens) : len(tokens) + 3]

    monkeypatch.setattr(walk_module, "NGrams", lambda: guess)
    monkeypatch.setattr(speculation, "how_many", lambda _unseen, _runs: 3)
    one = walk()
    assert "speculation" not in drawn(one).text
    one.act("speculate")
    runs, marked, seconds = [], [], []
    for _ in range(10):
        one.act("step")
        page = drawn(one, "Feed")
        runs.append(one.num_runs)
        marked.append(len(page.styled("lw-guessed")))
        seconds.append(float(re.findall(r"model ([\d.]+) ms", page.text)[0]))
    assert made(one) == made(plain)[:10]
    assert runs[-1] < 1 + 10
    for before, after in pairwise(range(10)):  # a step makes a run or takes a guess
        was_guessed = runs[after] == runs[before]
        assert (marked[after] > marked[before]) is was_guessed
        assert (seconds[after] == 0) is was_guessed
    text = drawn(one, "Cache").text
    count = f"{runs[-1] - 1} runs, {marked[-1]} of "
    assert f"speculation {count}" in text
    assert "checks guesses" in text
    one.act("back", 3)
    assert one.num_runs == runs[-1]
    assert len(drawn(one).styled("lw-guessed")) == marked[6]
    one.act("speculate")
    one.act("step")
    assert made(one) == made(plain)[:8]


class Slow(SharedToy):
    """Takes its time for a run, until it is told not to."""

    pause = 0.05

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        time.sleep(self.pause)
        return super().run(unseen, cache)


def test_the_foot_tells_of_the_run_of_a_step_also_where_a_branch_has_an_older_one() -> (
    None
):
    model = Slow(vocab=tokenizer().vocab, capacity=400)
    one = walk(model)
    steps(one, 2)
    one.act("back")
    assert "all else –" in drawn(one).text
    model.pause = 0
    steps(one, 1)  # the same token again: the branch keeps its first, slow run
    times = re.findall(r"(?:model|all else) (-?[\d.]+) ms", drawn(one).text)
    assert len(times) == 2
    assert all(0 <= float(milliseconds) < 50 for milliseconds in times)
    for action in ("back", "reset"):
        one.act(action)
        assert "all else –" in drawn(one).text


# --- the picture without a kernel ----------------------------------------------------


def test_the_picture_is_small_and_needs_neither_styles_nor_scripts() -> None:
    one, two = walk(), walk()
    steps(one, 3)
    steps(two, 3)
    shown, words = twin(one.snapshot(), tokenizer())
    assert (shown, words) == twin(two.snapshot(), tokenizer())
    assert {tag for tag, _ in Reader(shown).tags} <= KEPT
    assert not {"var(", "class="} & set(re.findall(r"var\(|class=", shown))
    assert len(shown) + len(words) < 60_000
    where = "Step panel: toy, step 3, context 8 of 400"
    assert where in Reader(shown).text
    assert words.startswith(where)
    draw = now(one).draw
    assert f"u = {draw.u:.3f} picks {tokenizer().piece(draw.token)}" in words
