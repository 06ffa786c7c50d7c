from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from toy_model import SharedToy
from walking import END, PROMPT, made, now, steps, take, tokenizer, toy, walk

from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.grammar import regular_expression
from llm_walkthrough.panel.step.page import page
from llm_walkthrough.panel.step.saved_run import read, written
from llm_walkthrough.panel.step.ways import Made
from llm_walkthrough.sampling import Sampling, process, softmax, uniform
from llm_walkthrough.stepper import Stepper
from llm_walkthrough.structured_output import GrammarMask

if TYPE_CHECKING:
    from llm_walkthrough.arrays import LogitsRows, TokenIds
    from llm_walkthrough.kv_cache import KVCache
    from llm_walkthrough.panel.step.walk import Walk

KNOBS: dict[str, float] = {
    "temperature": 1.5,
    "top_k": 7,
    "top_p": 0.5,
    "min_p": 0.1,
    "repetition_penalty": 1.3,
    "seed": 9,
}


def state(one: Walk) -> dict[str, Any]:
    """All that a learner would miss if it were lost; not what is said."""
    shot = one.snapshot()
    desk = shot.desk
    kept = (desk.sampling, desk.seed, desk.is_guessing, desk.guesses, desk.looked_at)
    return {
        "tokens": shot.tokens,
        "ways": shot.ways,
        "desk": kept,
        "u": one.stepper.u,
        "active": one.stepper.active,
    }


def turn(one: Walk, name: str, value: float) -> None:
    one.act("knob", {"name": name, "value": value})


# --- stepping ---------------------------------------------------------------------


def test_steps_make_the_tokens_that_a_plain_stepper_makes() -> None:
    one = walk(seed=5)
    steps(one, 12)
    sampling = Sampling(2, 0, 1)
    plain = Stepper(toy(), PROMPT, processors=sampling.processors(), seed=5)
    assert made(one) == [step.token for step in plain.run(12)]


def test_what_is_shown_is_what_the_step_then_does() -> None:
    one = walk()
    for _ in range(6):
        expected = now(one).draw.token
        steps(one, 1)
        assert made(one)[-1] == expected


def test_a_step_knows_how_likely_its_token_was() -> None:
    one = walk()
    raw, final = softmax(one.stepper.logits), one.stepper.probabilities
    steps(one, 1)
    (known,) = one.snapshot().made
    assert known is not None
    (token,) = made(one)
    assert known.score.probability == pytest.approx(raw[token])
    assert known.share == pytest.approx(final[token])
    assert (known.how, known.u) == ("drawn", uniform(0, len(PROMPT)))


def test_the_model_is_run_once_for_each_step_and_never_for_a_picture() -> None:
    one = walk()
    assert one.num_runs == 1
    steps(one, 5)
    for _ in range(3):
        one.snapshot()
    assert one.num_runs == 6


def test_a_candidate_is_taken_instead_of_the_drawn_token() -> None:
    one = walk()
    token = take(one, 3)
    assert made(one) == [token]
    (known,) = one.snapshot().made
    assert known is not None
    assert (known.how, known.u, known.score.rank) == ("chosen", None, 4)


def test_a_candidate_of_an_earlier_step_is_not_taken_at_this_one() -> None:
    one = walk()
    token, position = now(one).rows[0].token, one.stepper.position
    steps(one, 1)
    before = state(one)
    one.act("take", {"token": token, "position": position})
    assert state(one) == before
    assert "belonged to the step before, so nothing was taken" in one.desk.notice.text


def test_an_id_without_a_text_is_drawn_and_shown_as_such() -> None:
    spare = tokenizer().vocab + 9
    one = walk(SharedToy(vocab=spare + 1))
    one.act("take", {"token": spare, "position": one.stepper.position})
    steps(one, 1)
    assert f"&lt;no text {spare}&gt;" in page(one.snapshot(), one.tokenizer)
    other = walk(SharedToy(vocab=spare + 1))
    other.act("load", written(one.saved()))
    assert made(other) == made(one)


def test_back_step_and_back_again_meet_the_same_tokens() -> None:
    one = walk()
    steps(one, 8)
    before = state(one)
    one.act("back", 5)
    assert one.snapshot().future == before["tokens"][-5:]
    steps(one, 5)
    assert state(one) == before


def test_going_back_and_choosing_differently_keeps_both_ways() -> None:
    one = walk()
    steps(one, 5)
    first = made(one)
    one.act("back", 2)
    take(one, 7)
    second = made(one)
    assert [list(way.tokens) for way in one.snapshot().ways] == [first, second]
    one.act("switch", "A")
    assert made(one) == first
    one.act("switch", "B")
    assert made(one) == second


def test_reset_leaves_the_settings_and_forgets_the_rest() -> None:
    one = walk()
    turn(one, "temperature", 1)
    steps(one, 3)
    one.act("u", 0.5)
    one.act("back", 3)
    one.act("reset")
    assert made(one) == []
    assert one.desk.sampling.temperature == 1
    assert len(one.snapshot().ways) == 1
    steps(one, 4)
    assert [known.how for known in one.snapshot().made if known] == ["drawn"] * 4


# --- runs -------------------------------------------------------------------------


def test_a_run_goes_on_by_ticks_until_its_limit() -> None:
    one = walk()
    one.act("limit", "5 tokens")
    one.act("run")
    assert made(one) == []  # the page asks for each step
    for _ in range(9):
        one.act("tick")
    assert len(made(one)) == 5
    assert not one.desk.running


def test_a_tick_after_stop_does_nothing() -> None:
    one = walk()
    one.act("run")
    one.act("tick")
    one.act("stop")
    one.act("tick")
    assert len(made(one)) == 1


def test_a_run_ends_at_the_end_token_and_says_so() -> None:
    one = walk(end_tokens=range(264))
    one.act("run")
    one.act("tick")
    assert len(made(one)) == 1
    assert not one.desk.running
    assert "ended its answer" in one.desk.notice.text


def test_a_run_ends_where_the_context_is_full() -> None:
    one = walk(toy(capacity=len(PROMPT) + 3), end_tokens=())
    one.act("run")
    for _ in range(6):
        one.act("tick")
    assert len(made(one)) == 3
    assert not one.desk.running
    assert "context is full" in one.desk.notice.text


def test_going_back_ends_a_run() -> None:
    one = walk()
    one.act("run")
    one.act("tick")
    one.act("back")
    assert not one.desk.running


# --- knobs and luck ---------------------------------------------------------------


@pytest.mark.parametrize("name", KNOBS)
def test_every_knob_turns_and_the_model_is_not_run(name: str) -> None:
    one = walk(sampling=Sampling())
    one.act("knob", {"name": name, "value": KNOBS[name]})
    desk = one.desk
    value = desk.seed if name == "seed" else getattr(desk.sampling, name)
    assert value == KNOBS[name]
    assert one.num_runs == 1
    found, stepper = now(one), one.stepper
    processed = process(stepper.logits, stepper.tokens, desk.sampling.processors())
    np.testing.assert_array_equal(found.draw.probabilities, softmax(processed))
    assert found.draw.u == uniform(desk.seed, len(PROMPT))


def test_a_number_of_ones_own_draws_and_is_remembered_as_such() -> None:
    one = walk()
    one.act("u", 0.75)
    expected = now(one).draw.token
    steps(one, 1)
    (known,) = one.snapshot().made
    assert known is not None
    assert (made(one), known.how, known.u) == ([expected], "own u", 0.75)
    one.act("back")
    one.act("unroll")
    assert one.stepper.u == uniform(0, len(PROMPT))


def test_the_right_end_of_the_bar_is_a_number_that_can_be_drawn() -> None:
    one = walk()
    one.act("u", 1)
    assert one.stepper.u < 1
    assert one.desk.notice.kind == "news"


def test_rolling_gives_another_number() -> None:
    one = walk()
    rolled = set()
    for _ in range(5):
        one.act("roll")
        rolled.add(one.stepper.u)
    assert len(rolled) == 5


def test_a_stage_can_be_looked_at_until_a_knob_is_turned() -> None:
    one = walk()
    one.act("stage", -1)
    raw = softmax(one.stepper.logits)
    assert [row.now for row in now(one).rows] == [
        raw[row.token] for row in now(one).rows
    ]
    turn(one, "top_k", 3)
    assert now(one).looked_at == len(now(one).stages) - 1


def test_what_comes_before_the_settings_stays_there() -> None:
    def only_nine(logits: np.ndarray, _context: np.ndarray) -> np.ndarray:
        return np.where(np.arange(len(logits)) == 9, logits, np.float32(-np.inf))

    one = walk(processors=[only_nine])
    turn(one, "temperature", 1)
    steps(one, 2)
    assert made(one) == [9, 9]
    assert now(one).stages[0].label == "function"


# --- guessing ---------------------------------------------------------------------


def test_a_right_guess_and_a_wrong_one_are_counted() -> None:
    one = walk()
    one.act("guessing")
    drawn = now(one).draw.token
    one.act("take", {"token": drawn, "position": one.stepper.position})
    assert (one.desk.guesses.made, one.desk.guesses.right) == (1, 1)
    assert one.desk.notice.text.startswith("Right: ")
    found = now(one)
    wrong = next(row.token for row in found.rows if row.token != found.draw.token)
    one.act("take", {"token": wrong, "position": one.stepper.position})
    assert (one.desk.guesses.made, one.desk.guesses.right) == (2, 1)
    assert one.desk.notice.text.startswith("You said ")
    assert made(one) == [drawn, found.draw.token]  # what comes is drawn, not guessed


def test_the_models_favourite_is_counted_beside() -> None:
    one = walk(sampling=Sampling(0))
    one.act("guessing")
    take(one, 1)
    assert (one.desk.guesses.right, one.desk.guesses.by_the_model) == (0, 1)


def test_a_guess_that_is_not_listed_is_judged_too() -> None:
    one = walk(sampling=Sampling())
    one.act("guessing")
    found = now(one)
    listed = {row.token for row in found.rows}
    other = next(token for token in range(264) if token not in listed)
    one.act("take", {"token": other, "position": one.stepper.position})
    assert one.desk.guesses.made == 1
    assert made(one) == [found.draw.token]
    assert one.desk.notice.text.startswith("You said ")


# --- sharing ----------------------------------------------------------------------


def test_a_saved_run_is_replayed_to_the_same_tokens() -> None:
    one = walk()
    steps(one, 3)
    take(one, 4)
    one.act("u", 0.9)
    steps(one, 1)
    turn(one, "temperature", 1)
    steps(one, 3)
    other = walk()
    other.act("load", written(one.saved()))
    assert made(other) == made(one)
    assert other.snapshot().made == one.snapshot().made
    assert other.desk.notice.text == "Replayed 8 steps: the same tokens."


def test_a_run_that_goes_on_ends_when_a_saved_one_is_opened() -> None:
    one = walk()
    steps(one, 3)
    text = written(one.saved())
    one.act("run")
    one.act("load", text)
    one.act("tick")
    assert not one.desk.running
    assert len(made(one)) == 3


class Elsewhere(SharedToy):
    """The same model as another processor rounds it: some logits come out otherwise."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        return rows[:, ::-1].copy(), longer


def test_another_processor_is_told_of_and_the_saved_tokens_are_taken() -> None:
    one = walk()
    steps(one, 6)
    other = walk(Elsewhere(vocab=264))
    other.act("load", written(one.saved()))
    assert made(other) == made(one)
    assert "At step 1 this machine draws" in other.desk.notice.text


def test_a_run_of_another_vocabulary_is_refused_and_all_stays() -> None:
    one = walk()
    steps(one, 4)
    text = written(one.saved()).replace('"text": "', '"text": "other')
    before = state(one)
    one.act("load", text)
    assert state(one) == before
    assert "whose tokens are not those of 'toy'" in one.desk.notice.text


def test_a_replay_that_fails_halfway_leaves_all_as_it_was() -> None:
    one = walk()
    steps(one, 30)
    saved = written(one.saved())
    small = walk(toy(capacity=len(PROMPT) + 20))
    steps(small, 2)
    before, scores = state(small), small.snapshot().read
    small.act("load", saved)
    assert state(small) == before
    assert small.snapshot().read == scores
    assert small.desk.notice.kind == "problem"


def test_tokens_of_a_cell_cannot_be_saved_and_it_is_said() -> None:
    one = walk()
    one.stepper.step()
    one.act("save")
    assert "made outside this panel" in one.desk.notice.text
    one.act("reset")
    steps(one, 1)
    one.act("save")
    assert read(written(one.saved())).steps[0].token == made(one)[0]


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
    second = made(one)
    assert len(one.snapshot().ways) == 2
    for tokens in (first, second):
        assert tokens[-1] == END
        assert tokenizer().decode(tokens).isdecimal()


def test_masked_candidates_say_why_they_may_not_come() -> None:
    one = walk(processors=[digits()])
    found = now(one)
    assert (found.stages[0].label, found.stages[0].survivors) == ("grammar", 10)
    masked = [row for row in found.rows if row.out_at == 0]
    assert len(masked) > 3
    assert all(row.reason for row in masked)
    assert sum(row.out_at is None for row in found.rows) >= 6


def test_a_masked_candidate_can_be_forced_and_then_nothing_follows() -> None:
    one = walk(processors=[digits()])
    masked = next(row.token for row in now(one).rows if row.out_at == 0)
    one.act("take", {"token": masked, "position": one.stepper.position})
    assert made(one) == [masked]
    assert "does not follow the" in one.snapshot().why_none
    one.act("back")
    steps(one, 1)
    assert tokenizer().decode(made(one)).isdecimal()


def test_a_run_of_another_prompt_is_not_opened_under_a_grammar() -> None:
    one = walk(processors=[digits()])
    steps(one, 2)
    text = written(one.saved())
    before = state(one)
    other = replace(one.saved(), prompt=tuple(PROMPT[1:].tolist()))
    spelled = tokenizer().decode([*PROMPT[1:], *made(one)], show_special=True)
    one.act("load", written(replace(other, text=spelled)))
    assert "this run begins with another prompt" in one.desk.notice.text
    assert state(one) == before
    one.act("load", text)
    assert one.desk.notice.text == "Replayed 2 steps: the same tokens."


# --- what goes wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "value", "words"),
    [
        ("back", 99, "between 1 and 2 steps can be taken back, not 99"),
        ("switch", "Q", "there is no way 'Q'"),
        ("knob", {"name": "heat", "value": 1}, "there is no knob 'heat'"),
        ("knob", {"name": "top_p", "value": 7}, "top-p must be between"),
        ("knob", {"name": "seed", "value": -1}, "seed must be 0 or more"),
        ("knob", {}, "KeyError"),
        ("u", "much", "could not convert string to float"),
        ("u", -1, "u must be at least 0"),
        ("speed", "warp", "'warp' is not one of slow"),
        ("limit", "12", "'12' is not one of to the end"),
        ("take", None, "TypeError"),
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
    assert one.desk.notice.kind == "problem"
    assert words in one.desk.notice.text
    assert "\n" not in one.desk.notice.text
    assert state(one) == before
    one.act("step")
    assert one.desk.notice.text == ""
    assert len(made(one)) == 3


def test_the_first_step_back_from_the_prompt_is_refused() -> None:
    one = walk()
    one.act("back")
    assert "this is the prompt" in one.desk.notice.text


def test_settings_that_leave_no_token_are_refused() -> None:
    def needs_heat(logits: np.ndarray, _context: np.ndarray) -> np.ndarray:
        return logits if is_warm else np.full_like(logits, -np.inf)

    is_warm = True
    one = walk(processors=[needs_heat])
    is_warm = False
    before = one.desk.sampling
    turn(one, "temperature", 0.5)
    assert one.desk.sampling == before
    assert "no token is left" in one.desk.notice.text


def test_where_nothing_can_come_next_the_reason_is_shown_and_back_helps() -> None:
    def until_two(logits: np.ndarray, context: np.ndarray) -> np.ndarray:
        is_over = len(context) >= len(PROMPT) + 2
        return np.full_like(logits, -np.inf) if is_over else logits

    one = walk(processors=[until_two])
    steps(one, 2)
    shot = one.snapshot()
    assert shot.distribution is None
    assert "no token is left to choose from" in shot.why_none
    steps(one, 1)
    assert len(made(one)) == 2
    one.act("back")
    assert one.snapshot().distribution is not None


class Interrupted(SharedToy):
    """Is interrupted in the middle of a run, when it is time."""

    is_time = False

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.is_time:
            self.is_time = False
            raise KeyboardInterrupt
        return super().run(unseen, cache)


@pytest.mark.parametrize("action", ["step", "tick"])
def test_an_interrupt_takes_no_half_step_and_ends_a_run(action: str) -> None:
    model = Interrupted(vocab=264)
    one = walk(model)
    steps(one, 2)
    one.act("run")
    before = state(one)
    model.is_time = True
    one.act(action)
    assert state(one) == before
    assert not one.desk.running
    assert one.desk.notice.text.startswith("Interrupted: nothing was changed")
    steps(one, 1)
    assert len(made(one)) == 3


# --- beside a cell ----------------------------------------------------------------


def test_what_a_cell_does_with_the_stepper_is_shown() -> None:
    one = walk()
    steps(one, 1)
    token = one.stepper.step().token
    shot = one.snapshot()
    assert shot.tokens[-1] == token
    assert shot.made[-1] is None
    assert shot.ways[0].log_probability is None


def test_tokens_that_a_cell_appends_are_drawn_and_cannot_be_saved() -> None:
    one = walk()
    steps(one, 2)
    one.stepper.extend(np.array([50, 51]))
    steps(one, 1)
    assert len(page(one.snapshot(), tokenizer())) > 0
    assert [known is None for known in one.snapshot().made] == [0, 0, 1, 1, 0]
    one.act("save")
    assert "made outside this panel" in one.desk.notice.text
    one.act("back_to", 3)
    assert len(made(one)) == 1


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


def test_a_cell_and_the_page_may_act_at_the_same_time() -> None:
    one = walk()
    failures: list[BaseException] = []

    def often() -> None:
        try:
            for _ in range(30):
                one.act("step")
                one.snapshot()
        except BaseException as error:  # noqa: BLE001 - a thread has no other way
            failures.append(error)

    threads = [threading.Thread(target=often) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(made(one)) == 90


def test_the_prompt_is_scored_and_the_feed_belongs_to_the_place() -> None:
    one = walk()
    steps(one, 3)
    shot = one.snapshot()
    assert sorted(shot.read) == [1, 2, 3, 4]
    assert [feed.tokens for feed in shot.feeds] == [(made(one)[1],), (made(one)[2],)]
    one.act("back", 3)
    (prefill,) = one.snapshot().feeds
    assert prefill.tokens == tuple(PROMPT.tolist())


def test_a_saved_text_is_that_of_the_tokens() -> None:
    one = walk()
    steps(one, 2)
    every = one.stepper.tokens
    assert one.saved().text == tokenizer().decode(every, show_special=True)
    assert END not in every
