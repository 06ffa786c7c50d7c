from __future__ import annotations

import threading
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from toy_model import GrownToy, SharedToy, rebuilt, replayed
from walking import (
    END,
    PROMPT,
    Interrupted,
    Reader,
    Without,
    made,
    now,
    steps,
    take,
    tokenizer,
    toy,
    walk,
)

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import regular_expression
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.candidates import SHOWN
from llm_walkthrough.panel.step.branches import Made, is_within
from llm_walkthrough.panel.step.page import page
from llm_walkthrough.panel.step.saved_run import written
from llm_walkthrough.panel.step.walk import ASKS, Walk
from llm_walkthrough.sampling import KNOBS, Knob, Sampling, process, softmax, uniform
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.structured_output import GrammarMask


def state(one: Walk) -> dict[str, Any]:
    """All that a learner would miss if it were lost; not what is said."""
    shot = one.snapshot()
    desk = shot.desk
    return {
        "tokens": shot.tokens,
        "branches": shot.branches,
        "read": shot.read,
        "desk": (desk.sampling, desk.seed, desk.is_guessing, desk.guesses),
        "looked at": desk.looked_at,
        "u": one.stepper.u,
        "settings": (one.stepper.processors, one.stepper.seed),
        "active": one.stepper.active,
    }


def turn(one: Walk, name: str, value: float) -> None:
    one.act("knob", {"name": name, "value": value})


class Wandering(RuleBasedStateMachine):
    """A learner, and a cell, who do anything in any order."""

    @initialize(kind=st.sampled_from([Interrupted, GrownToy]))
    def begin(self, kind: type[Interrupted | GrownToy]) -> None:
        self.model = toy(kind)
        self.one = walk(self.model)
        self.ends: set[tuple[int, ...]] = set()  # where it was, and can be again

    def leave(self) -> None:
        self.ends.add(tuple(made(self.one)))

    @rule()
    def step(self) -> None:
        expected = now(self.one).draw.token
        self.one.act("step")
        assert made(self.one)[-1] == expected

    @rule(rank=st.integers(0, SHOWN - 1))
    def take(self, rank: int) -> None:
        token = take(self.one, rank)
        drawn = self.one.now.is_guessing and self.one.now.guesses.made
        assert drawn or made(self.one)[-1] == token

    @rule(steps=st.integers(1, 6))
    def back(self, steps: int) -> None:
        self.leave()
        count = len(self.one.stepper.steps)
        self.one.act("back", steps)
        assert len(self.one.stepper.steps) == count - (steps if steps <= count else 0)

    @rule(number=st.integers(0, 9))
    def switch(self, number: int) -> None:
        self.leave()
        names = [branch.name for branch in self.one.snapshot().branches]
        self.one.act("switch", names[number % len(names)])
        assert self.one.now.notice.text == ""

    @rule(knob=st.sampled_from(KNOBS), share=st.integers(0, 4))
    def turn(self, knob: Knob, share: int) -> None:
        low, high, _ = knob.slider
        runs, stepper = self.model.num_runs, self.one.stepper
        turn(self.one, knob.name, low + (high - low) * share / 4)
        assert (self.one.now.notice.text, self.model.num_runs) == ("", runs)
        processors = self.one.now.sampling.processors(stepper.prompt_length)
        assert stepper.processors == processors
        processed = process(stepper.logits, stepper.tokens, processors)
        shown = now(self.one).draw.probabilities
        np.testing.assert_array_equal(shown, softmax(processed))

    @rule(u=st.sampled_from([0, 0.3, 1]), seed=st.integers(0, 3))
    def set_u(self, u: float, seed: int) -> None:
        turn(self.one, "seed", seed)
        self.one.act("u", u)
        assert self.one.stepper.u == pytest.approx(u)
        self.one.act("roll")
        assert self.one.stepper.u != u
        self.one.act("unroll" if seed else "stop")
        if seed:
            assert self.one.stepper.u == uniform(seed, self.one.stepper.position)

    @rule(action=st.sampled_from(["guessing", "large", "stop", "speculate"]))
    def press(self, action: str) -> None:
        self.one.act(action)

    @rule(ticks=st.integers(0, 3))
    def run_for_a_while(self, ticks: int) -> None:
        count = len(made(self.one))
        self.one.act("run")
        for _ in range(ticks):
            self.one.act("tick")
        self.one.act("stop")
        self.one.act("tick")
        assert len(made(self.one)) <= count + ticks

    @rule(
        bad=st.sampled_from(
            [("back", 99), ("u", 2), ("take", None), ("fly", 1), ("ask", " ")]
        )
    )
    def ask_for_the_impossible(self, bad: tuple[str, object]) -> None:
        before = state(self.one)
        self.one.act(*bad)
        assert self.one.now.notice.kind == "problem"
        assert state(self.one) == before

    @rule()
    def interrupt(self) -> None:
        if isinstance(self.model, Interrupted):
            before = state(self.one)
            self.one.act("run")
            self.model.is_time = True
            self.one.act("tick")
            if not self.model.is_time:  # else the token was there: nothing was run
                assert self.one.now.notice.text.startswith("Interrupted: nothing was")
                assert (state(self.one), self.one.now.running) == (before, False)
            self.model.is_time = False
            self.one.act("stop")

    @rule()
    def step_in_a_cell(self) -> None:
        self.one.stepper.step()

    @rule()
    def save_and_open(self) -> None:
        if None not in self.one.snapshot().made:
            before = self.one.snapshot()
            self.one.act("load", written(self.one.saved()))
            after = self.one.snapshot()
            assert (after.tokens, after.made) == (before.tokens, before.made)
            assert self.one.now.notice.text.endswith(": the same tokens.")
            self.ends.clear()

    @rule(kind=st.sampled_from(ASKS), text=st.sampled_from(["the", "a the a"]))
    def ask(self, kind: str, text: str) -> None:
        before = self.one.now
        self.one.act("ask_as", kind)
        self.one.act("ask", text)
        assert (made(self.one), self.one.now.sampling) == ([], before.sampling)
        self.ends.clear()

    @rule()
    def reset(self) -> None:
        before = self.one.now
        self.one.act("reset")
        assert (made(self.one), self.one.now.sampling) == ([], before.sampling)
        self.ends.clear()

    @invariant()
    def every_end_can_be_reached_and_no_branch_is_drawn_twice(self) -> None:
        whole = [branch.tokens for branch in self.one.snapshot().branches]
        assert all(is_within(end, whole) for end in self.ends)
        assert not any(is_within(a, [b]) for a, b in pairwise(sorted(whole)))

    @invariant()
    def logits_are_those_of_the_same_runs_without_cache_and_stepper(self) -> None:
        stepper = self.one.stepper
        row = stepper.logits  # first: this may make a run
        np.testing.assert_array_equal(row, rebuilt(stepper.runs, 264))

    @invariant()
    def the_page_shows_each_token_and_is_well_formed(self) -> None:
        shown = Reader(page(self.one.snapshot(), tokenizer()))
        assert len(shown.styled("lw-made")) == len(made(self.one))


TestWandering = Wandering.TestCase
TestWandering.settings = settings(
    max_examples=15, stateful_step_count=25, derandomize=True, deadline=None
)


# --- stepping ---------------------------------------------------------------------


def test_steps_make_the_tokens_that_a_plain_stepper_makes() -> None:
    one = walk(seed=5)
    steps(one, 12)
    # the penalty leaves the words of the prompt alone
    processors = Sampling(2, 0, 1).processors(len(PROMPT))
    plain = Stepper(toy(), PROMPT, processors=processors, seed=5)
    assert made(one) == [step.token for step in plain.run(12)]


def test_a_step_knows_how_likely_its_token_was_and_who_chose_it() -> None:
    one = walk()
    raw = softmax(one.stepper.logits)
    steps(one, 1)
    one.act("u", 0.75)
    steps(one, 1)
    chosen = take(one, 3)
    first, second, third = filter(None, one.snapshot().made)
    assert first.score.probability == pytest.approx(raw[made(one)[0]])
    assert (first.how, first.u) == ("drawn", uniform(0, len(PROMPT)))
    assert (second.how, second.u) == ("own u", 0.75)
    assert (third.how, third.u, third.score.rank) == ("chosen", None, 4)
    assert made(one)[-1] == chosen


def test_the_model_is_run_and_the_token_drawn_once_for_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = []
    draw = Sampling().processors()[0].__class__.__call__

    def count(*given: Any) -> Any:  # noqa: ANN401 - as the processor
        drawn.append(given)
        return draw(*given)

    one = walk(sampling=Sampling(2, 0, 1, 0, 1.1))
    monkeypatch.setattr(Sampling().processors()[0].__class__, "__call__", count)
    for _ in range(5):
        steps(one, 1)
        one.snapshot()
        one.snapshot()
    assert (one.num_runs, len(drawn)) == (6, 5)


def test_an_id_without_a_text_is_drawn_and_shown_as_such() -> None:
    spare = tokenizer().vocab + 9
    one, other = walk(SharedToy(vocab=spare + 1)), walk(SharedToy(vocab=spare + 1))
    one.act("take", {"token": spare, "position": one.stepper.position})
    assert f"&lt;no text {spare}&gt;" in page(one.snapshot(), one.tokenizer)
    other.act("load", written(one.saved()))
    assert made(other) == made(one)


# --- runs -------------------------------------------------------------------------


def test_a_run_goes_on_by_ticks_until_its_limit() -> None:
    one = walk()
    one.act("limit", "5 tokens")
    one.act("run")
    assert made(one) == []  # the page asks for each step
    for _ in range(9):
        one.act("tick")
    assert len(made(one)) == 5
    assert not one.now.running


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"end_tokens": range(264)}, "ended its answer"),
        ({"model": toy(capacity=len(PROMPT) + 1), "end_tokens": ()}, "context is full"),
    ],
)
def test_a_run_ends_where_nothing_can_follow_and_says_so(
    settings: dict[str, Any], words: str
) -> None:
    one = walk(**settings)
    one.act("run")
    one.act("tick")
    one.act("tick")
    assert len(made(one)) == 1
    assert not one.now.running
    assert words in one.now.notice.text


@pytest.mark.parametrize("action", ["back", "reset", "load", "ask"])
def test_going_elsewhere_ends_a_run(action: str) -> None:
    one = walk()
    steps(one, 3)
    saved = written(one.saved())
    one.act("run")
    one.act(action, {"load": saved, "ask": "the"}.get(action))
    count = len(made(one))
    one.act("tick")
    assert not one.now.running
    assert len(made(one)) == count


# --- knobs and luck ---------------------------------------------------------------


def test_a_stage_can_be_looked_at_until_a_knob_is_turned() -> None:
    one = walk()
    one.act("stage", -1)
    raw = softmax(one.stepper.logits)
    rows = now(one).rows
    assert [row.now for row in rows] == [raw[row.token] for row in rows]
    turn(one, "top_k", 3)
    assert now(one).looked_at == len(now(one).stages) - 1


def test_what_comes_before_the_settings_stays_there() -> None:
    def only_nine(logits: np.ndarray, _context: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(logits)) == 9, logits, np.float32(-np.inf))

    one = walk(processors=[only_nine])
    turn(one, "temperature", 1.5)
    steps(one, 2)
    assert made(one) == [9, 9]
    assert now(one).stages[0].label == "function"


# --- guessing ---------------------------------------------------------------------


def test_right_and_wrong_guesses_are_counted_and_what_comes_is_drawn() -> None:
    one = walk(sampling=Sampling(0))
    one.act("guessing")
    drawn = []
    for rank, words in ((0, "Right: "), (1, "You said ")):
        drawn.append(now(one).draw.token)
        take(one, rank)
        assert one.now.notice.text.startswith(words)
    listed = {row.token for row in now(one).rows}
    drawn.append(now(one).draw.token)
    other = next(token for token in range(264) if token not in listed)
    one.act("take", {"token": other, "position": one.stepper.position})
    assert one.now.notice.text.startswith("You said ")
    guesses = one.now.guesses
    assert (guesses.made, guesses.right, guesses.by_the_model) == (3, 1, 3)
    assert made(one) == drawn


def test_whoever_wants_to_guess_stops_the_run() -> None:
    one = walk()
    for _ in range(2):  # and whoever does not want to any more
        one.act("run")
        one.act("tick")
        one.act("guessing")
        assert not one.now.running
    before = made(one)
    one.act("tick")
    assert made(one) == before


# --- asking -----------------------------------------------------------------------


def spelled(one: Walk) -> str:
    return tokenizer().decode(one.stepper.tokens, show_special=True)


def test_a_question_is_put_into_the_template_and_a_text_is_taken_as_it_is() -> None:
    one = walk()
    one.act("ask", " the a ")
    assert spelled(one) == tokenizer().chat([{"role": "user", "content": " the a "}])
    one.act("ask_as", "a text to continue")
    one.act("ask", " the a ")
    assert spelled(one) == " the a "


def test_another_prompt_begins_as_a_new_panel_would_with_the_same_settings() -> None:
    one = walk(seed=3)
    one.act("guessing")
    take(one, 0)
    one.act("u", 0.5)
    steps(one, 2)
    one.act("back")
    one.act("guessing")
    turn(one, "temperature", 1.5)
    one.act("ask", "the")
    asked = one.snapshot()
    assert (asked.made, asked.future, asked.desk.notice.text) == ((), (), "")
    assert len(asked.branches) == 1
    assert (asked.desk.guesses.made, asked.rest()) == (0, None)
    steps(one, 6)
    one.act("reset")
    assert one.stepper.position == asked.prompt_length
    steps(one, 6)
    processors = one.now.sampling.processors(asked.prompt_length)
    prompt = np.array(asked.tokens)
    plain = Stepper(toy(), prompt, processors=processors, seed=3)
    assert made(one) == [step.token for step in plain.run(6)]


@pytest.mark.parametrize(
    ("text", "kind", "settings", "words"),
    [
        (" \n", "a question", {}, "nothing has been asked yet"),
        ("a" * 400, "a text to continue", {}, "0 of 400 places in the context"),
        ("a\ud800", "a question", {}, "half a character"),
        ("the", "a question", {"template": None}, "toy has no chat template"),
        (
            "the",
            "a question",
            {"processors": [Without(9)]},
            "belongs to its own prompt",
        ),
    ],
)
def test_what_cannot_be_asked_is_said_and_the_run_before_it_stays(
    text: str, kind: str, settings: dict[str, Any], words: str
) -> None:
    one = walk(processors=settings.pop("processors", ()))
    one.tokenizer = replace(one.tokenizer, **settings)
    steps(one, 3)
    one.act("ask_as", kind)
    one.act("run")
    before = state(one)
    one.act("ask", text)
    assert (state(one), one.now.running) == (before, False)
    assert words in one.now.notice.text


def test_a_prompt_whose_run_is_interrupted_leaves_the_run_before_it() -> None:
    model = Interrupted(vocab=264)
    one = walk(model)
    steps(one, 3)
    before = state(one)
    model.is_time = True
    one.act("ask", "the")
    assert state(one) == before
    assert one.now.notice.text.startswith("Interrupted")
    steps(one, 1)
    assert len(made(one)) == 4


def test_a_cell_may_keep_the_stepper_of_an_earlier_question() -> None:
    one = walk()
    steps(one, 3)
    kept, tokens = one.stepper, made(one)
    one.act("ask", "the")
    steps(one, 5)
    kept.step()
    kept.undo(1)
    assert kept.new_tokens.tolist() == tokens
    stops = tuple(run.stop for run in one.stepper.runs)
    logits = replayed(tuple(one.stepper.tokens.tolist()), stops, 264)
    np.testing.assert_array_equal(one.stepper.logits, logits)


def test_a_run_that_was_saved_is_opened_after_another_question() -> None:
    one = walk()
    steps(one, 4)
    saved, tokens = written(one.saved()), one.stepper.tokens.tolist()
    one.act("ask", "the")
    steps(one, 2)
    other = written(one.saved())
    for run, length in ((saved, 4), (other, 2)):
        one.act("load", run)
        assert (len(made(one)), one.now.notice.kind) == (length, "news")
        one.act("reset")
    one.act("load", saved)
    assert one.stepper.tokens.tolist() == tokens


# --- sharing ----------------------------------------------------------------------


class Elsewhere(SharedToy):
    """The same model as another processor rounds it: some logits come out otherwise."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        return rows[:, ::-1].copy(), longer


def test_another_processor_is_told_of_and_the_saved_tokens_are_taken() -> None:
    one, other = walk(), walk(Elsewhere(vocab=264))
    steps(one, 6)
    other.act("load", written(one.saved()))
    assert made(other) == made(one)
    assert "At step 1 this machine draws" in other.now.notice.text


def test_a_run_of_another_vocabulary_is_refused_and_all_stays() -> None:
    one = walk()
    steps(one, 4)
    before = state(one)
    one.act("load", written(one.saved()).replace('"text": "', '"text": "other'))
    assert state(one) == before
    assert "whose tokens are not those of 'toy'" in one.now.notice.text


def test_a_replay_that_fails_halfway_leaves_all_as_it_was() -> None:
    one, small = walk(), walk(toy(capacity=len(PROMPT) + 20))
    steps(one, 30)
    steps(small, 2)
    before = state(small)
    small.act("load", written(one.saved()))
    assert state(small) == before
    assert small.now.notice.kind == "problem"


def test_tokens_of_a_cell_are_shown_and_cannot_be_saved() -> None:
    one = walk()
    steps(one, 2)
    one.stepper.extend(np.array([50, 51]))
    steps(one, 1)
    assert [known is None for known in one.snapshot().made] == [0, 0, 1, 1, 0]
    assert one.snapshot().branches[0].log_probability is None
    one.act("save")
    assert "made outside this panel" in one.now.notice.text
    one.act("back_to", 3)
    assert len(made(one)) == 1
    every = one.stepper.tokens
    assert one.saved().text == tokenizer().decode(every, show_special=True)


# --- under a grammar ---


def digits() -> GrammarMask:
    vocabulary = GrammarVocabulary(tokenizer(), 264, (END,))
    return GrammarMask(regular_expression("[0-9]{2}"), vocabulary, start=len(PROMPT))


def test_a_grammar_is_followed_back_and_forth_and_on_every_branch() -> None:
    one = walk(processors=[digits()])
    steps(one, 3)
    first = made(one)
    one.act("back", 2)
    choices = [row.token for row in now(one).rows if row.out_at is None]
    other = next(token for token in choices if token != first[1])
    one.act("take", {"token": other, "position": one.stepper.position})
    steps(one, 1)
    assert len(one.snapshot().branches) == 2
    for tokens in (first, made(one)):
        assert tokens[-1] == END
        assert tokenizer().decode(tokens).isdecimal()


def test_a_masked_candidate_says_why_and_can_be_forced_and_then_nothing_follows() -> (
    None
):
    one = walk(processors=[digits()])
    found = now(one)
    assert (found.stages[0].label, found.stages[0].survivors) == ("grammar", 10)
    masked = [row for row in found.rows if row.out_at == 0]
    assert len(masked) > 3
    assert all(row.reason for row in masked)
    one.act("take", {"token": masked[0].token, "position": one.stepper.position})
    assert made(one) == [masked[0].token]
    shot = one.snapshot()
    assert shot.distribution is None
    assert "does not follow the" in shot.why_none
    before = state(one)
    one.act("step")
    assert state(one) == before
    one.act("back")
    steps(one, 1)
    assert tokenizer().decode(made(one)).isdecimal()


def test_a_run_of_another_prompt_is_not_opened_under_a_grammar() -> None:
    one = walk(processors=[digits()])
    steps(one, 2)
    before, run = state(one), one.saved()
    prompt = tuple(PROMPT[1:].tolist())
    spelled = tokenizer().decode([*prompt, *made(one)], show_special=True)
    one.act("load", written(replace(run, prompt=prompt, text=spelled)))
    assert "belongs to its own prompt; for another prompt" in one.now.notice.text
    assert state(one) == before
    one.act("load", written(run))
    assert one.now.notice.text == "Replayed 2 steps: the same tokens."


# --- what goes wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "value", "words"),
    [
        ("back", 99, "between 1 and 2 steps can be taken back, not 99"),
        ("back", 1.5, "ValueError"),
        ("back_to", 0.5, "ValueError"),
        ("switch", "Q", "there is no branch 'Q'"),
        ("knob", {"name": "heat", "value": 1}, "there is no knob 'heat'"),
        ("knob", {"name": "top_p", "value": 7}, "top-p must be between"),
        ("knob", {"name": "seed", "value": -1}, "seed must be 0 or more"),
        ("knob", {}, "KeyError"),
        ("u", "much", "could not convert string to float"),
        ("u", -1, "u must be at least 0"),
        ("speed", "warp", "'warp' is not one of slow"),
        ("limit", "12", "'12' is not one of to the end"),
        ("take", None, "TypeError"),
        ("take", {"token": 5, "position": 5}, "belonged to the step before, so"),
        ("take", {"token": 999, "position": 7}, "999"),
        ("load", "{}", "this is not a saved run"),
        ("fly", None, "there is no action 'fly'"),
    ],
)
def test_what_goes_wrong_is_said_in_one_sentence_and_all_stays_as_it_was(
    action: str, value: object, words: str
) -> None:
    one = walk()
    steps(one, 2)
    before = state(one)
    one.act(action, value)
    assert one.now.notice.kind == "problem"
    assert words in one.now.notice.text
    assert "\n" not in one.now.notice.text
    assert state(one) == before
    one.act("step")
    assert one.now.notice.text == ""


def test_settings_that_leave_no_token_are_refused() -> None:
    def needs_heat(logits: np.ndarray, _context: np.ndarray) -> np.ndarray:
        return logits if is_warm else np.full_like(logits, -np.inf)

    is_warm = True
    one = walk(processors=[needs_heat])
    is_warm = False
    before = one.now.sampling
    turn(one, "temperature", 0.5)
    assert one.now.sampling == before
    assert "no token is left" in one.now.notice.text


# --- beside a cell ----------------------------------------------------------------


def test_no_step_of_a_cell_comes_between_a_token_and_what_is_known_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one = walk()
    cell = threading.Thread(target=one.stepper.step)

    def begun(*given: Any) -> Made:  # noqa: ANN401 - as it is made
        cell.start()
        cell.join(0.1)
        return Made(*given)

    monkeypatch.setattr("llm_walkthrough.panel.step.walk.Made", begun)
    one.act("step")
    cell.join()
    assert [known is None for known in one.snapshot().made] == [False, True]


def test_the_prompt_is_scored_and_the_feed_belongs_to_the_place() -> None:
    one = walk()
    steps(one, 3)
    shot = one.snapshot()
    assert sorted(shot.read) == [1, 2, 3, 4]
    assert [feed.tokens for feed in shot.feeds] == [(made(one)[1],), (made(one)[2],)]
    one.act("back", 3)
    (prefill,) = one.snapshot().feeds
    assert prefill.tokens == tuple(PROMPT.tolist())
