"""The mask depends on the tokens after the prompt and on nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tiny_vocabulary import VOCABULARY
from toy_model import SharedToy

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.grammar import Grammar, json_schema, regular_expression
from llm_walkthrough.sampling import Temperature, TopK, choose, softmax
from llm_walkthrough.stepper import EndTokens, Stepper
from llm_walkthrough.structured_output import KEPT_SPOTS, GrammarMask

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
LEVEL = np.linspace(1, 2, VOCABULARY.vocab, dtype=np.float32)


def ids(text: str) -> list[int]:
    return [VOCABULARY.spelled.index(bytes([byte])) for byte in text.encode()]


def after(text: str) -> TokenIds:
    return np.array([*PROMPT, *ids(text)])


def masking(grammar: Grammar, limit: int | None = None) -> GrammarMask:
    return GrammarMask(grammar, VOCABULARY, len(PROMPT), limit)


def survivors(mask: GrammarMask, context: TokenIds) -> set[bytes]:
    tokens = np.flatnonzero(mask(LEVEL, context) > -np.inf).tolist()
    ends = VOCABULARY.end_tokens
    return {b"" if token in ends else VOCABULARY.spelled[token] for token in tokens}


def stepper(grammar: Grammar, limit: int | None = None, *, seed: int = 0) -> Stepper:
    model = SharedToy(vocab=VOCABULARY.vocab)
    row = (masking(grammar, limit), Temperature(3))
    return Stepper(model, PROMPT, processors=row, seed=seed)


def run(stepper: Stepper, limit: int = 200) -> str:
    """Run to the end; return the new text."""
    list(stepper.run(limit, {"end": EndTokens(VOCABULARY.end_tokens)}))
    return VOCABULARY.tokenizer.decode(stepper.new_tokens)


# --- one mask ---------------------------------------------------------------------


def test_what_is_not_allowed_gets_minus_infinity_and_the_rest_stays() -> None:
    before = LEVEL.copy()
    left = masking(DIGITS)(LEVEL, PROMPT)
    digits = ids("0123456789")
    assert np.flatnonzero(left > -np.inf).tolist() == sorted(digits)
    assert np.array_equal(left[digits], LEVEL[digits])
    assert np.array_equal(LEVEL, before)
    assert left.dtype == np.float32
    assert softmax(left)[digits].sum() == pytest.approx(1)


def test_only_tokens_after_the_start_count() -> None:
    late = GrammarMask(DIGITS, VOCABULARY, len(PROMPT) + 1)
    context = np.array([*PROMPT, 9, *ids("12")])
    assert survivors(late, context) == {b"", *(b"%d" % n for n in range(10))}


def test_equal_masks_are_equal_and_print_what_they_were_made_of() -> None:
    mask = GrammarMask(DIGITS, VOCABULARY, 3)
    mask(LEVEL, after("12"))
    assert mask == GrammarMask(DIGITS, VOCABULARY, 3)
    assert mask != GrammarMask(DIGITS, VOCABULARY, 4)
    assert repr(DIGITS) in repr(mask)
    assert mask.label == "grammar"


@pytest.mark.parametrize("limit", [None, 56])
def test_the_answer_is_the_same_in_whatever_order_places_are_asked_for(
    limit: int | None,
) -> None:
    text = '{"pose": "' + "a cat " * 4 + '", "seconds": 4'
    contexts = [after(text[:count]) for count in range(len(text) + 1)]
    fresh = [survivors(masking(POSE, limit), c) for c in contexts]
    mask = masking(POSE, limit)
    order = np.random.default_rng(0).permutation(len(contexts))
    assert len(contexts) > KEPT_SPOTS
    for place in [*order, *order[::-1]]:
        assert survivors(mask, contexts[place]) == fresh[place]


def test_greedy_decoding_takes_the_likeliest_that_is_allowed() -> None:
    mask = masking(DIGITS)
    chosen = choose(LEVEL, PROMPT, [mask, TopK(1)], u=0.5)
    assert chosen == max(ids("0123456789"))


def test_two_threads_may_ask_at_once() -> None:
    mask = masking(POSE)
    text = '{"pose": "a cat", "seconds": 1'

    def ask(counts: Iterable[int]) -> None:
        for count in [*counts] * 20:
            mask(LEVEL, after(text[:count]))

    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(ask, order) for order in (range(30), range(29, 0, -1))]
    assert [one.exception() for one in asked] == [None, None]


# --- with a stepper ---------------------------------------------------------------


def test_undo_and_step_again_meets_the_same_tokens() -> None:
    for seed in range(5):
        going = stepper(POSE, seed=seed)
        run(going)
        tokens, count = going.new_tokens.tolist(), len(going.steps)
        for back in (1, count // 2, count):
            going.undo(back)
            run(going)
            assert going.new_tokens.tolist() == tokens


def test_a_branch_follows_the_grammar_from_where_it_was_forked() -> None:
    going = stepper(POSE)
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


def test_a_stretch_without_a_choice_is_one_run_of_what_looking_would_draw() -> None:
    going, looking = stepper(POSE), stepper(POSE)
    opening = [going.step() for _ in range(len('{"pose": "'))]
    for step in opening:
        assert looking.probabilities[step.token] == 1
        assert looking.step().token == step.token
    assert [step.u for step in opening] == [None] * len(opening)
    assert len(going.unseen) == len(PROMPT) + len(opening)
    going.step()
    assert [len(run.tokens) for run in going.runs] == [len(PROMPT) + len(opening)]


def test_a_token_forced_by_hand_is_followed_if_the_grammar_allows_it() -> None:
    going = stepper(DIGITS)
    going.step(ids("7")[0])
    assert run(going).startswith("7")


def test_a_token_forced_against_the_grammar_is_named_until_it_is_undone() -> None:
    going = stepper(DIGITS)
    going.step(ids("x")[0])
    said = r"'x' at position 3 .* undo it"
    with pytest.raises(InputError, match=said):
        going.step()
    with pytest.raises(InputError, match=said):
        _ = going.probabilities
    going.undo()
    assert run(going).isdigit()


# --- why not ----------------------------------------------------------------------


def test_a_reason_is_given_exactly_for_what_is_masked() -> None:
    for limit in (None, 3):
        mask = masking(DIGITS, limit)
        for text in ("", "1", "12", "123"):
            context = after(text)
            left = mask(LEVEL, context)
            for token in range(VOCABULARY.vocab):
                reason = mask.reason(token, context)
                if reason is not None:
                    assert left[token] == -np.inf
                elif limit is None:
                    assert left[token] > -np.inf


def test_a_reason_says_what_is_in_the_way() -> None:
    for grammar, text, token, said in (
        (DIGITS, "1", "x", "…1x is not allowed by the regular expression"),
        (DIGITS, "1", "<|im_end|>", "the text would end here"),
        (DIGITS, "12", "<|im_start|>", "a special token"),
        (DIGITS, "1234", "5", "only an end token may come"),
        (POSE, "", "a", "only { may come here"),
    ):
        written = VOCABULARY.tokenizer.library.token_to_id(token)
        assert written is not None
        assert said in str(masking(grammar).reason(written, after(text)))


def test_nothing_comes_after_the_end() -> None:
    mask = masking(DIGITS)
    ended = np.array([*after("12"), *VOCABULARY.end_tokens])
    assert survivors(mask, ended) == {b""}
    assert mask.reason(ids("3")[0], ended) == (
        "the text has ended: nothing comes after an end token"
    )


# --- in time ----------------------------------------------------------------------


@pytest.mark.parametrize("limit", [27, 28, 33, 40])
def test_the_text_is_complete_when_the_limit_is_reached(limit: int) -> None:
    for seed in range(4):
        going = stepper(POSE, limit, seed=seed)
        run(going, limit)
        assert masking(POSE, limit).is_complete(going.tokens), seed


def test_near_the_limit_a_token_is_masked_that_would_take_too_long() -> None:
    grammar = regular_expression("a|bcbcbcbcbcbc")
    mask = masking(grammar, 6)
    assert survivors(mask, PROMPT) == {b"a"}
    assert "the 6 tokens that are left" in str(mask.reason(ids("b")[0], PROMPT))


def test_a_low_limit_and_a_start_before_the_first_token_are_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"5 new tokens are too few .* takes 27;"):
        masking(POSE, 5)
    with pytest.raises(InputError, match="position 0 or later, got -1"):
        GrammarMask(DIGITS, VOCABULARY, -1)
