"""The mask depends on the tokens after the prompt and on nothing else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from tiny_vocabulary import tiny_vocabulary
from toy_model import SharedToy

from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import json_schema, regular_expression
from llm_walkthrough.sampling import Temperature, TopK, choose, softmax
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import KEPT_SPOTS, GrammarMask

if TYPE_CHECKING:
    from llm_walkthrough.arrays import Logits, TokenIds
    from llm_walkthrough.constraints.matcher import GrammarVocabulary
    from llm_walkthrough.grammar import Grammar

DIGITS = regular_expression("[0-9]{2,4}")
POSE = json_schema(
    {
        "type": "object",
        "properties": {
            "pose": {"type": "string", "maxLength": 30},
            "seconds": {"type": "integer", "minimum": 10, "maximum": 90},
        },
        "required": ["pose", "seconds"],
        "additionalProperties": False,
    }
)
PROMPT = np.array([5, 6, 7])


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> GrammarVocabulary:
    return tiny_vocabulary(tmp_path_factory.mktemp("tiny"))


def ids(vocabulary: GrammarVocabulary, text: str) -> list[int]:
    return [vocabulary.spelled.index(bytes([byte])) for byte in text.encode()]


def after(vocabulary: GrammarVocabulary, text: str) -> TokenIds:
    return np.array([*PROMPT, *ids(vocabulary, text)])


def level(vocabulary: GrammarVocabulary) -> Logits:
    return np.linspace(1, 2, vocabulary.vocab, dtype=np.float32)


def survivors(mask: GrammarMask, context: TokenIds) -> set[bytes]:
    left = mask(level(mask.vocabulary), context)
    spelled, ends = mask.vocabulary.spelled, mask.vocabulary.end_tokens
    tokens = np.flatnonzero(left > -np.inf).tolist()
    return {b"" if token in ends else spelled[token] for token in tokens}


def stepper(mask: GrammarMask, seed: int = 0) -> Stepper:
    model = SharedToy(vocab=mask.vocabulary.vocab)
    return Stepper(model, PROMPT, processors=[mask, Temperature(3)], seed=seed)


def run(stepper: Stepper, limit: int = 200) -> str:
    """Run to the end; return the new text."""
    mask = stepper.processors[0]
    assert isinstance(mask, GrammarMask)
    list(stepper.run(limit, {"end": EndTokens(mask.vocabulary.end_tokens)}))
    return mask.vocabulary.tokenizer.decode(stepper.new_tokens)


# --- one mask ---------------------------------------------------------------------


def test_what_the_grammar_does_not_allow_gets_minus_infinity_and_the_rest_stays(
    vocabulary: GrammarVocabulary,
) -> None:
    mask, logits = GrammarMask(DIGITS, vocabulary, len(PROMPT)), level(vocabulary)
    before = logits.copy()
    left = mask(logits, PROMPT)
    digits = ids(vocabulary, "0123456789")
    assert np.flatnonzero(left > -np.inf).tolist() == sorted(digits)
    assert np.array_equal(left[digits], logits[digits])
    assert np.array_equal(logits, before)
    assert left.dtype == np.float32
    assert softmax(left)[digits].sum() == pytest.approx(1)


def test_only_tokens_after_the_start_count(vocabulary: GrammarVocabulary) -> None:
    late = GrammarMask(DIGITS, vocabulary, len(PROMPT) + 1)
    context = np.array([*PROMPT, 9, *ids(vocabulary, "12")])
    assert survivors(late, context) == {b"", *(b"%d" % n for n in range(10))}


def test_equal_masks_are_equal_and_print_what_they_were_made_of(
    vocabulary: GrammarVocabulary,
) -> None:
    mask = GrammarMask(DIGITS, vocabulary, 3)
    mask(level(vocabulary), after(vocabulary, "12"))
    assert mask == GrammarMask(DIGITS, vocabulary, 3)
    assert mask != GrammarMask(DIGITS, vocabulary, 4)
    assert repr(DIGITS) in repr(mask)
    assert mask.label == "grammar"


@pytest.mark.parametrize("limit", [None, 56])
def test_the_answer_is_the_same_in_whatever_order_places_are_asked_for(
    vocabulary: GrammarVocabulary, limit: int | None
) -> None:
    text = '{"pose": "' + "a cat " * 4 + '", "seconds": 4'
    contexts = [after(vocabulary, text[:count]) for count in range(len(text) + 1)]
    fresh = [survivors(GrammarMask(POSE, vocabulary, 3, limit), c) for c in contexts]
    mask = GrammarMask(POSE, vocabulary, 3, limit)
    order = np.random.default_rng(0).permutation(len(contexts))
    assert len(contexts) > KEPT_SPOTS
    for place in [*order, *order[::-1]]:
        assert survivors(mask, contexts[place]) == fresh[place]


def test_greedy_decoding_takes_the_likeliest_that_is_allowed(
    vocabulary: GrammarVocabulary,
) -> None:
    mask = GrammarMask(DIGITS, vocabulary, len(PROMPT))
    chosen = choose(level(vocabulary), PROMPT, [mask, TopK(1)], u=0.5)
    assert chosen == max(ids(vocabulary, "0123456789"))


def test_two_threads_may_ask_at_once(vocabulary: GrammarVocabulary) -> None:
    mask = GrammarMask(POSE, vocabulary, len(PROMPT))
    text = '{"pose": "a cat", "seconds": 1'
    wrong: list[object] = []

    def ask(order: range) -> None:
        try:
            for count in [*order] * 20:
                mask(level(vocabulary), after(vocabulary, text[:count]))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
            wrong.append(error)

    orders = (range(len(text)), range(len(text) - 1, 0, -1))
    threads = [threading.Thread(target=ask, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# --- with a stepper ---------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_undo_and_step_again_meets_the_same_tokens(
    vocabulary: GrammarVocabulary, seed: int
) -> None:
    going = stepper(GrammarMask(POSE, vocabulary, len(PROMPT)), seed)
    text = run(going)
    tokens, count = going.new_tokens.tolist(), len(going.steps)
    for back in (1, count // 2, count):
        going.undo(back)
        assert run(going) == text
        assert going.new_tokens.tolist() == tokens


def test_a_branch_follows_the_grammar_from_where_it_was_forked(
    vocabulary: GrammarVocabulary,
) -> None:
    going = stepper(GrammarMask(POSE, vocabulary, len(PROMPT)))
    while going.position < len(PROMPT) + 14:
        going.step()
    going.fork()
    going.seed = 1
    other = run(going)
    going.switch(0)
    going.seed = 0
    first = run(going)
    assert first != other
    assert first[:8] == other[:8] == '{"pose":'
    assert first[-1] == other[-1] == "}"


def test_a_stretch_without_a_choice_is_one_run(vocabulary: GrammarVocabulary) -> None:
    going = stepper(GrammarMask(POSE, vocabulary, len(PROMPT)))
    opening = [going.step() for _ in range(len('{"pose": "'))]
    assert [step.u for step in opening] == [None] * len(opening)
    assert len(going.unseen) == len(PROMPT) + len(opening)
    going.step()
    assert [len(run.tokens) for run in going.runs] == [len(PROMPT) + len(opening)]


def test_forced_tokens_are_those_that_looking_at_the_logits_would_draw(
    vocabulary: GrammarVocabulary,
) -> None:
    looking = stepper(GrammarMask(POSE, vocabulary, len(PROMPT)))
    going = stepper(GrammarMask(POSE, vocabulary, len(PROMPT)))
    for _ in range(10):
        token = int(looking.probabilities.argmax())
        assert looking.probabilities[token] == 1
        assert looking.step().token == going.step().token == token


def test_a_token_forced_by_hand_is_followed_if_the_grammar_allows_it(
    vocabulary: GrammarVocabulary,
) -> None:
    going = stepper(GrammarMask(DIGITS, vocabulary, len(PROMPT)))
    going.step(ids(vocabulary, "7")[0])
    assert run(going).startswith("7")


def test_a_token_forced_against_the_grammar_is_named_until_it_is_undone(
    vocabulary: GrammarVocabulary,
) -> None:
    going = stepper(GrammarMask(DIGITS, vocabulary, len(PROMPT)))
    going.step(ids(vocabulary, "x")[0])
    said = r"'x' at position 3 .* undo it"
    with pytest.raises(InputError, match=said):
        going.step()
    with pytest.raises(InputError, match=said):
        _ = going.probabilities
    going.undo()
    assert run(going).isdigit()


# --- why not ----------------------------------------------------------------------


def test_a_reason_is_given_exactly_for_what_is_masked(
    vocabulary: GrammarVocabulary,
) -> None:
    for limit in (None, 3):
        mask = GrammarMask(DIGITS, vocabulary, len(PROMPT), limit)
        for text in ("", "1", "12", "123"):
            context = after(vocabulary, text)
            left = mask(level(vocabulary), context)
            for token in range(vocabulary.vocab):
                reason = mask.reason(token, context)
                if reason is not None:
                    assert left[token] == -np.inf
                elif limit is None:
                    assert left[token] > -np.inf


@pytest.mark.parametrize(
    ("grammar", "text", "token", "said"),
    [
        (DIGITS, "1", "x", "…1x is not allowed by the regular expression"),
        (DIGITS, "1", "<|im_end|>", "the text would end here"),
        (DIGITS, "12", "<|im_start|>", "a special token"),
        (DIGITS, "1234", "5", "only an end token may come"),
        (POSE, "", "a", "only { may come here"),
    ],
)
def test_a_reason_says_what_is_in_the_way(
    vocabulary: GrammarVocabulary, grammar: Grammar, text: str, token: str, said: str
) -> None:
    mask = GrammarMask(grammar, vocabulary, len(PROMPT))
    written = vocabulary.tokenizer.library.token_to_id(token)
    assert written is not None
    reason = mask.reason(written, after(vocabulary, text))
    assert reason is not None
    assert said in reason


def test_nothing_comes_after_the_end(vocabulary: GrammarVocabulary) -> None:
    mask = GrammarMask(DIGITS, vocabulary, len(PROMPT))
    ended = np.array([*after(vocabulary, "12"), *vocabulary.end_tokens])
    assert survivors(mask, ended) == {b""}
    reason = mask.reason(ids(vocabulary, "3")[0], ended)
    assert reason == "the text has ended: nothing comes after an end token"


# --- in time ----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [27, 28, 33, 40])
@pytest.mark.parametrize("seed", range(4))
def test_the_text_is_complete_when_the_limit_is_reached(
    vocabulary: GrammarVocabulary, limit: int, seed: int
) -> None:
    mask = GrammarMask(POSE, vocabulary, len(PROMPT), limit)
    going = stepper(mask, seed)
    run(going, limit)
    assert mask.is_complete(going.tokens)


def test_a_limit_below_the_shortest_text_is_refused_at_once(
    vocabulary: GrammarVocabulary,
) -> None:
    with pytest.raises(InputError, match=r"5 new tokens are too few .* takes 27;"):
        GrammarMask(POSE, vocabulary, len(PROMPT), 5)


def test_near_the_limit_a_token_is_masked_that_would_take_too_long(
    vocabulary: GrammarVocabulary,
) -> None:
    grammar = regular_expression("a|bcbcbcbcbcbc")
    mask = GrammarMask(grammar, vocabulary, len(PROMPT), 6)
    assert survivors(mask, PROMPT) == {b"a"}
    reason = mask.reason(ids(vocabulary, "b")[0], PROMPT)
    assert reason is not None
    assert "the 6 tokens that are left" in reason


def test_a_start_before_the_first_token_is_refused(
    vocabulary: GrammarVocabulary,
) -> None:
    with pytest.raises(InputError, match="position 0 or later, got -1"):
        GrammarMask(DIGITS, vocabulary, -1)
