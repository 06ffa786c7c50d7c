"""The text is the plain loop's whatever is guessed; only the runs are fewer."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from tiny_vocabulary import VOCABULARY
from toy_model import TOYS, GrownToy, SharedToy, ToyModel, rebuilt

from llm_walkthrough import branch as branch_module
from llm_walkthrough import speculation
from llm_walkthrough.arrays import Logits, LogitsRows, TokenIds
from llm_walkthrough.branch import Run
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import json_schema
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.sampling import (
    Processor,
    RepetitionPenalty,
    Temperature,
    TopK,
    TopP,
)
from llm_walkthrough.speculation import (
    MOST,
    NO_GUESSES,
    NGrams,
    costs,
    guesses_after,
    how_many,
)
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import GrammarMask

VOCAB = VOCABULARY.vocab
PROMPT = np.array([3, 1, 4, 1, 5])
FED = 5  # guesses in each run, wherever there are as many
GRAMMAR = json_schema(
    {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"pose": {"enum": ["cow", "cat"]}, "n": {"type": "boolean"}},
            "required": ["pose", "n"],
            "additionalProperties": False,
        },
        "minItems": 12,
        "maxItems": 12,
    }
)
PROCESSORS: dict[str, tuple[Processor, ...]] = {
    "greedy": (TopK(1),),
    "sampled": (Temperature(0.7), TopP(0.9)),
    "penalty": (RepetitionPenalty(1.5, len(PROMPT)), TopP(0.9)),
    "grammar": (GrammarMask(GRAMMAR, VOCABULARY, len(PROMPT)), Temperature(2)),
}


@dataclass(frozen=True)
class Knowing:
    """Knows what comes, from a plain stepper, and is wrong wherever it shall be."""

    tokens: tuple[int, ...]  # all of a plain text, the prompt first
    wrong_every: int = 10**6  # of so many positions one

    def __call__(self, tokens: TokenIds, most: int) -> list[int]:
        known = [*enumerate(self.tokens)][len(tokens) : len(tokens) + most]
        return [(t + (place % self.wrong_every == 0)) % VOCAB for place, t in known]


def far_too_many(tokens: TokenIds, _most: int) -> TokenIds:
    return np.tile(tokens, 3)


def nothing(_tokens: TokenIds, _most: int) -> list[int]:
    return []


@pytest.fixture(params=TOYS)
def toy(request: pytest.FixtureRequest) -> ToyModel:
    model: ToyModel = request.param(vocab=VOCAB)
    return model


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feed as many guesses each time, whatever a run of the toy has cost."""
    monkeypatch.setattr(speculation, "how_many", lambda _unseen, _runs: FED)


def plain(model: ToyModel, name: str, count: int = 120) -> Stepper:
    stepper = Stepper(model, PROMPT, processors=PROCESSORS[name], seed=3)
    assert len([*stepper.run(count)]) > 60
    return stepper


def guessing(model: ToyModel, name: str, guesser: Any) -> Stepper:  # noqa: ANN401 - as a learner's own
    return Stepper(model, PROMPT, processors=PROCESSORS[name], seed=3, guesser=guesser)


def knowing(stepper: Stepper, wrong_every: int = 10**6) -> Knowing:
    return Knowing(tuple(stepper.tokens.tolist()), wrong_every)


def figures(stepper: Stepper) -> tuple[int, int, int]:
    runs = stepper.runs
    return len(runs), sum(r.guesses for r in runs), sum(r.kept for r in runs)


# --- the text --------------------------------------------------------------------


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("wrong_every", [10**6, 1, 3, 4])
def test_whatever_is_guessed_the_steps_are_those_of_the_plain_loop(
    toy: ToyModel, name: str, wrong_every: int
) -> None:
    expected = plain(toy, name)
    stepper = guessing(toy, name, knowing(expected, wrong_every))
    assert [*stepper.run(120)] == [*expected.steps]
    assert stepper.stop_reason == expected.stop_reason
    np.testing.assert_array_equal(stepper.logits, rebuilt(stepper.runs, VOCAB))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("guesser", [NGrams(), far_too_many, nothing])
def test_the_same_holds_for_guessers_that_do_not_know(
    toy: ToyModel, name: str, guesser: object
) -> None:
    expected = plain(toy, name)
    assert [*guessing(toy, name, guesser).run(120)] == [*expected.steps]


@pytest.mark.parametrize("name", PROCESSORS)
def test_the_same_holds_where_times_decide_how_much_is_guessed(
    toy: ToyModel, name: str
) -> None:
    expected = plain(toy, name)
    stepper = guessing(toy, name, knowing(expected, 5))
    assert [*stepper.run(120)] == [*expected.steps]


@pytest.mark.usefixtures("always")
def test_right_guesses_save_runs_and_wrong_ones_save_none(toy: ToyModel) -> None:
    expected = plain(toy, "sampled")
    assert figures(expected) == (120, 0, 0)
    right = guessing(toy, "sampled", knowing(expected))
    assert len([*right.run(120)]) == 120
    # the first token is drawn from the prompt's logits, further runs make six each
    assert figures(right) == (1 + 20, 20 * FED, 20 * FED - 1)  # the newest is unseen
    wrong = guessing(toy, "sampled", knowing(expected, 1))
    assert len([*wrong.run(120)]) == 120
    runs, guesses, kept = figures(wrong)
    assert (runs, kept) == (120, 0)
    assert guesses > 110 * FED


@pytest.mark.usefixtures("always")
def test_forced_stretches_are_guessed_where_a_grammar_knows_them(
    toy: ToyModel,
) -> None:
    expected = plain(toy, "grammar", 400)
    with_grammar = guessing(toy, "grammar", knowing(expected, 7))
    assert [*with_grammar.run(400)] == [*expected.steps]
    forced = [step for step in expected.steps if step.u is None]
    assert 20 < len(forced) < len(expected.steps)
    assert figures(with_grammar)[0] < figures(expected)[0]


@pytest.mark.usefixtures("always")
def test_a_guess_that_the_grammar_does_not_allow_is_the_last_one(
    toy: ToyModel,
) -> None:
    stepper = guessing(toy, "grammar", lambda _tokens, _most: [1] * 9)
    assert [*stepper.run(60)] == [*plain(toy, "grammar").steps[:60]]
    assert {run.guesses for run in stepper.runs} <= {0, 1}


# --- going back, stopping, leaving -------------------------------------------------


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kept_rows", [2, 64])
def test_going_back_into_the_middle_of_a_run_gives_the_same_bits(
    toy: ToyModel, monkeypatch: pytest.MonkeyPatch, kept_rows: int
) -> None:
    monkeypatch.setattr(branch_module, "KEPT_LOGITS", kept_rows)
    expected = plain(toy, "sampled", 70)
    stepper = guessing(toy, "sampled", knowing(expected, 4))
    seen = {}
    for _ in range(60):
        seen[stepper.position] = stepper.logits
        stepper.step()
    for count in (1, 2, 1, 3, 7, 2, 5, 12):
        stepper.undo(count)
        np.testing.assert_array_equal(stepper.logits, seen[stepper.position])
        assert stepper.cache.length == stepper.position
        stepper.step()
        if stepper.position in seen:
            np.testing.assert_array_equal(stepper.logits, seen[stepper.position])
    # another token in the middle of guesses that were right, and on from there
    stepper.undo(2)
    other = Stepper(toy, stepper.tokens, processors=stepper.processors, seed=3)
    token = (int(expected.tokens[stepper.position]) + 1) % VOCAB
    for one in (stepper, other):
        one.step(token)
    assert [s.token for s in stepper.run(30)] == [s.token for s in other.run(30)]
    np.testing.assert_array_equal(stepper.logits, rebuilt(stepper.runs, VOCAB))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("count", range(1, 2 * FED))
def test_the_limit_in_the_middle_of_kept_guesses_leaves_nothing_behind(
    toy: ToyModel, count: int
) -> None:
    expected = plain(toy, "sampled")
    stepper = guessing(toy, "sampled", knowing(expected))
    assert [*stepper.run(count)] == [*expected.steps[:count]]
    assert stepper.stop_reason == "limit"
    assert stepper.tokens.tolist() == expected.tokens[: 5 + count].tolist()
    assert stepper.unseen.tolist() == [expected.tokens[4 + count]]
    stepper.guesser = None  # and on without guesses
    assert [*stepper.run(120 - count)] == [*expected.steps[count:]]


@pytest.mark.usefixtures("always")
def test_a_stop_rule_and_a_reader_who_leaves_stop_in_the_middle_of_guesses(
    toy: ToyModel,
) -> None:
    expected = plain(toy, "sampled")
    end = int(expected.new_tokens[9])
    first = expected.new_tokens.tolist().index(end) + 1
    stepper = guessing(toy, "sampled", knowing(expected))
    made = [*stepper.run(120, {"end": EndTokens((end,))})]
    assert (stepper.stop_reason, len(made)) == ("end", first)
    assert stepper.steps == expected.steps[:first]
    left = stepper.run(100)
    assert [next(left), next(left)] == [*expected.steps[first : first + 2]]
    del left
    assert stepper.position == len(PROMPT) + first + 2
    assert [*stepper.run(8)] == [*expected.steps[first + 2 : first + 10]]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("kind", TOYS)
def test_guesses_fill_the_context_to_the_brim_and_no_further(
    kind: type[ToyModel],
) -> None:
    model = kind(vocab=VOCAB, capacity=40)
    expected = Stepper(model, PROMPT, processors=PROCESSORS["sampled"], seed=3)
    assert len([*expected.run(99)]) == 35
    stepper = guessing(model, "sampled", knowing(expected))
    assert [*stepper.run(99)] == [*expected.steps]
    assert stepper.stop_reason == "context full"
    assert figures(stepper)[0] == 1 + -(-34 // (1 + FED))


@pytest.mark.usefixtures("always")
def test_a_branch_that_overwrites_guesses_does_not_disturb_the_other(
    toy: ToyModel,
) -> None:
    expected = plain(toy, "sampled")
    stepper = guessing(toy, "sampled", knowing(expected))
    for _ in range(3):  # three kept guesses of the first run lie ahead
        stepper.step()
    stepper.fork()
    assert [s.token for s in stepper.run(2)] == expected.new_tokens[3:5].tolist()
    stepper.undo(2)
    stepper.step((expected.tokens[8] + 1) % VOCAB)
    stepper.guesser = None
    elsewhere = [step.token for step in stepper.run(9)]
    stepper.switch(0)
    assert [*stepper.run(60)] == [*expected.steps[3:63]]
    np.testing.assert_array_equal(stepper.logits, rebuilt(stepper.runs, VOCAB))
    stepper.switch(1)
    assert stepper.new_tokens[4:].tolist() == elsewhere
    np.testing.assert_array_equal(stepper.logits, rebuilt(stepper.runs, VOCAB))


@pytest.mark.usefixtures("always")
def test_the_prompt_is_run_without_guesses(toy: ToyModel) -> None:
    stepper = guessing(toy, "sampled", far_too_many)
    assert [*stepper.run(9)]
    assert (stepper.runs[0].tokens.tolist(), stepper.runs[0].guesses) == ([*PROMPT], 0)
    stepper.undo(9)
    np.testing.assert_array_equal(stepper.logits, plain_logits(toy))


def plain_logits(model: ToyModel) -> Logits:
    return Stepper(model, PROMPT).logits


# --- bad guesses ---------------------------------------------------------------------


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("guessed", "reason"),
    [
        ([2, VOCAB], f"token id {VOCAB} is not in 0 … {VOCAB - 1}"),
        ([-1], "token id -1 is not in"),
        ([0.5], "token ids must be whole numbers"),
        (None, "has no len()"),
    ],
)
def test_a_guess_that_is_no_token_is_refused_in_a_sentence_and_nothing_is_lost(
    toy: ToyModel,
    guessed: object,
    reason: str,
) -> None:
    expected = plain(toy, "sampled")
    stepper = guessing(toy, "sampled", lambda _tokens, _most: guessed)
    steps = stepper.run(20)
    assert next(steps) == expected.steps[0]
    with pytest.raises(InputError, match="guessed what is no token") as caught:
        next(steps)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    stepper.guesser = NGrams()
    assert [*stepper.run(50)] == [*expected.steps[1:51]]


class LastRowOnly(GrownToy):
    """Returns the last row of logits alone, as some exports do."""

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        rows, longer = super().run(unseen, cache)
        return rows[-1:], longer


@pytest.mark.usefixtures("always")
def test_a_model_with_the_last_row_only_says_that_it_cannot_check_guesses() -> None:
    model = LastRowOnly(vocab=VOCAB)
    stepper = guessing(model, "sampled", far_too_many)
    steps = stepper.run(20)
    next(steps)
    with pytest.raises(InputError, match="no guess can be checked; set guesser to"):
        next(steps)
    stepper.guesser = None
    assert [*stepper.run(20)] == [*plain(model, "sampled").steps[1:21]]


# --- what is guessed -------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "most", "guesses"),
    [
        ([5, 6, 7, 8, 5, 6], 16, [7, 8, 5]),  # two match, so three are guessed
        ([5, 6, 7, 8, 5, 6], 2, [7, 8]),
        ([1, 2, 3, 4, 9, 2, 3, 7, 1, 2, 3], 1, [4]),  # the longest, though older
        ([2, 3, 4, 2, 3, 5, 2, 3], 1, [5]),  # of equals the latest
        ([7, 1, 2, 1, 2, 1, 2], 16, [1, 2, 1, 2, 1, 2, 1]),  # goes on in its circle
        ([4, 4], 16, [4]),
        ([1, 2, 3], 16, []),
        ([1], 16, []),
    ],
)
def test_ngrams_go_on_as_after_the_longest_match(
    tokens: list[int], most: int, guesses: list[int]
) -> None:
    assert NGrams()(np.array(tokens), most).tolist() == guesses


def test_no_more_than_the_longest_ngram_is_compared() -> None:
    tokens = np.array([1, 2, 3, 4, 9, 8, 2, 3, 4, 5, 1, 2, 3, 4])
    assert NGrams()(tokens, 1).tolist() == [9]
    assert NGrams(longest=3)(tokens, 1).tolist() == [5]


def runs_of(*told: tuple[int, float, int, int]) -> list[Run]:
    """Make runs of: tokens, seconds, guesses, kept."""
    return [Run(9, np.zeros(n, np.int64), s, guesses, kept)
            for n, s, guesses, kept in told]  # fmt: skip


def test_what_a_run_costs_is_learned_from_runs_and_hoped_to_be_little_beyond() -> None:
    runs = runs_of((1, 2.0, 0, 0), (1, 1.0, 0, 0), (5, 3.0, 4, 0))
    lengths = np.array([1, 3, 5, 7])
    assert costs(lengths, runs).tolist() == pytest.approx([1, 2, 3, 3.2])
    assert costs(lengths, []).tolist() == pytest.approx([1, 1.2, 1.4, 1.6])
    first = Run(0, np.zeros(4, np.int64), 99.0)  # of a cold machine
    assert costs(lengths, [first]).tolist() == pytest.approx([1, 1.2, 1.4, 1.6])


def test_guesses_are_as_many_as_pay() -> None:
    cheap = [(n, 1 + n / 100, n - 1, n - 1) for n in (1, 4, 8, 17)]
    assert how_many(1, runs_of(*cheap)) == MOST
    dear = [(n, float(n), n - 1, n - 1) for n in (1, 4, 8, 17)]
    assert how_many(1, runs_of(*dear)) == 0
    bends = [(1, 1.0, 0, 0), (6, 1.2, 5, 5), (7, 9.0, 6, 6)]
    assert how_many(1, runs_of(*bends)) == 5
    assert how_many(3, runs_of(*bends)) == 3  # the run is no longer for that
    missed = [(1, 1.0, 0, 0)] + [(3, 1.5, 2, 0)] * 8
    assert how_many(1, runs_of(*missed)) == 0
    assert how_many(1, runs_of(*missed, *[(1, 1.0, 0, 0)] * 8)) > 0  # tries again
    assert 0 < how_many(1, []) < MOST


@pytest.mark.usefixtures("always")
def test_a_stretch_that_is_forced_after_a_guess_is_guessed_whole() -> None:
    model = SharedToy(vocab=VOCAB)
    stepper = guessing(model, "grammar", None)
    text = '[{"pose": "c'
    tokens = [VOCABULARY.spelled.index(bytes([byte])) for byte in text.encode()]
    for token in tokens:
        stepper.step(token)
    (mask, *_) = stepper.processors
    branch = stepper._branch  # noqa: SLF001 - what the stepper hands over
    cow = VOCABULARY.spelled.index(b"o")
    guesses = guesses_after(branch, lambda *_: [cow], [mask], VOCAB)
    spelled = b"".join(VOCABULARY.spelled[token] for token in guesses.tolist())
    assert b'ow", "n": true'.startswith(spelled)
    assert len(guesses) == FED
    assert guesses_after(branch, nothing, [mask], VOCAB).tolist() == [*NO_GUESSES]


def test_nothing_is_asked_of_a_guesser_that_would_not_pay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speculation, "how_many", lambda _unseen, _runs: 0)
    asked = itertools.count()

    def counting(_tokens: TokenIds, _most: int) -> list[int]:
        next(asked)
        return []

    stepper = guessing(SharedToy(vocab=VOCAB), "greedy", counting)
    assert len([*stepper.run(9)]) == 9
    assert next(asked) == 0
