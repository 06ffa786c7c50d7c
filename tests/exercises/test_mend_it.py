"""The faults of notebook 10 in its own loop, on the real model."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from mended_loop import names_of

from llm_walkthrough.exercises import mend_it
from llm_walkthrough.mending import RIGHT, SMALL, WRONG, Decoded, parts
from llm_walkthrough.sampling import (
    Processor,
    RepetitionPenalty,
    Temperature,
    TopP,
)
from llm_walkthrough.stepper import Stepper

pytestmark = pytest.mark.model

VARIANTS = pytest.mark.parametrize("variant", ["float32", "int4"])
SESSIONS = pytest.mark.parametrize("exporter", ["ours", "other"])
ROOM = 999  # so that no context is shortened
# as in the notebook
ROW: list[Processor] = [RepetitionPenalty(1.2), Temperature(0.7), TopP(0.9)]


def session_of(variant: str, exporter: str) -> Any:  # noqa: ANN401 - of onnxruntime
    names = names_of(variant)
    return names["other"] if exporter == "other" else names["lesson"].model.session


@cache
def broken(variant: str, exporter: str = "other", *faults: str) -> Decoded:
    """Run the loop with the parts of these names wrong."""
    part = parts(**{name: WRONG[name] for name in faults})
    made: Decoded = names_of(variant)["decode"](part, session_of(variant, exporter))
    return made


def loop(part: SimpleNamespace) -> Decoded:
    made: Decoded = names_of("float32")["decode"](part, names_of("float32")["other"])
    return made


@VARIANTS
@SESSIONS
def test_without_a_fault_it_makes_the_tokens_of_the_stepper(
    variant: str, exporter: str
) -> None:
    names = names_of(variant)
    made = names["decode"](parts(), session_of(variant, exporter), room=ROOM)
    prompt = names["tokenizer"].encode(names["chat"])
    stepper = Stepper(names["lesson"].model, prompt, processors=ROW, seed=1)
    assert made.tokens == [step.token for step in stepper.run(len(made.tokens))]
    assert len(made.tokens) > 10


@VARIANTS
def test_what_is_drawn_after_a_cut_is_what_a_fresh_run_would_draw(variant: str) -> None:
    names, whole = names_of(variant), broken(variant)
    prompt = names["tokenizer"].encode(names["chat"]).tolist()
    context = [*prompt, *whole.tokens[:8]]  # 44 tokens: one more than there is room
    context = context[:30] + context[-8:]
    rows, _ = names["lesson"].model.run(
        np.array(context), names["lesson"].model.new_grown_cache()
    )
    penalised = RepetitionPenalty(1.2)(rows[-1], np.array(context))
    tolerance = {"float32": SMALL, "int4": 1.5}[variant]  # another split of the runs
    assert np.abs(penalised - whole.logits[8]).max() < tolerance


@cache
def is_right(name: str, *, is_broken: bool) -> bool | None:
    part = (WRONG if is_broken else RIGHT)[name]
    verdict = getattr(mend_it, f"check_{name}")(part, loop)
    answer: bool | None = verdict.is_right
    return answer


@pytest.mark.parametrize("fault", WRONG)
def test_each_fault_is_found_by_its_check_and_by_no_other(fault: str) -> None:
    found = [n for n in RIGHT if not is_right(n, is_broken=n == fault)]
    assert found == [fault]


# --- what each fault changes ------------------------------------------------------
FROM_THE_FIRST = ("encode", "past")  # the very first logits move
FROM_THE_SECOND = ("mask", "positions", "carry")  # prefill is right
CUT_AFTER = 8  # tokens fit into the context


@VARIANTS
@pytest.mark.parametrize("fault", FROM_THE_FIRST)
def test_a_wrong_beginning_moves_the_first_logits(variant: str, fault: str) -> None:
    assert broken(variant, "other", fault).moves(broken(variant))[0] > 5


@VARIANTS
@pytest.mark.parametrize("fault", FROM_THE_SECOND)
def test_prefill_is_right_and_the_step_after_it_is_not(
    variant: str, fault: str
) -> None:
    moves = broken(variant, "other", fault).moves(broken(variant))
    assert moves[0] == 0
    assert moves[1] > 1


@VARIANTS
@pytest.mark.parametrize("fault", ["positions", "carry"])
def test_a_fault_of_the_other_exporter_does_no_harm_with_our_graph(
    variant: str, fault: str
) -> None:
    harmless, right = broken(variant, "ours", fault), broken(variant, "ours")
    assert harmless.tokens == right.tokens
    assert max(harmless.moves(right)) == 0


@VARIANTS
def test_zeros_do_no_harm_while_the_mask_is_made_from_the_tokens(variant: str) -> None:
    def by_tokens(_cached: int, _new: int, total: int) -> np.ndarray:
        return np.ones((1, total), np.int64)

    decode, ours = names_of(variant)["decode"], session_of(variant, "ours")
    harmless = decode(parts(past=WRONG["past"], mask=by_tokens), ours)
    assert max(harmless.moves(broken(variant, "ours"))) == 0


@VARIANTS
def test_a_cut_in_the_middle_moves_the_logits_from_the_cut_on(variant: str) -> None:
    moves = broken(variant, "other", "cut").moves(broken(variant))
    assert max(moves[:CUT_AFTER]) == 0
    assert moves[CUT_AFTER] > 5


def test_the_penalty_lifts_what_is_negative_and_leaves_the_text() -> None:
    mine, right = broken("float32", "other", "penalise"), broken("float32")
    assert (mine.text, mine.tokens) == (right.text, right.tokens)
    step = int(np.argmax(mine.moves(right)))
    moved = mine.logits[step] - right.logits[step]
    assert moved.max() > 1
    assert moved.min() == 0  # all that moves is lifted
    assert right.logits[step][moved > 0].max() < 0


def test_the_late_temperature_moves_no_logit_and_draws_another_token() -> None:
    mine, right = broken("float32", "other", "reshape"), broken("float32")
    same = mine.num_right(right)
    assert 0 < same < 5
    assert max(mine.moves(right)[: same + 1]) == 0


def test_without_an_end_token_only_the_limit_stops_it() -> None:
    mine, right = broken("float32", "other", "is_end"), broken("float32")
    assert mine.tokens[: len(right.tokens)] == right.tokens
    assert (len(right.tokens), len(mine.tokens)) == (14, 20)
    assert mine.text.startswith(right.text)


@VARIANTS
def test_a_text_cut_by_its_length_loses_the_emoji(variant: str) -> None:
    mine, right = broken(variant, "other", "stream"), broken(variant)
    assert mine.tokens == right.tokens
    assert "\ufffd" in mine.text
    assert "\ufffd" not in right.text


def test_the_limit_counts_tokens_that_nobody_made() -> None:
    mine, right = broken("float32", "other", "speed"), broken("float32")
    assert (mine.text, mine.tokens) == (right.text, right.tokens)
    assert (right.claimed, mine.claimed) == (14, 20)


# --- margins ----------------------------------------------------------------------
def test_a_disturbed_logit_changes_no_token_that_the_notebook_shows() -> None:
    def disturbed(logits: np.ndarray, said: list[int], x: float) -> np.ndarray:
        noise = np.random.default_rng(0).uniform(-1e-3, 1e-3, len(logits))
        moved: np.ndarray = RIGHT["penalise"](logits, said, x) + noise.astype("f4")
        return moved

    for fault in (None, *WRONG):
        wrong = {} if fault in (None, "penalise") else {fault: WRONG[str(fault)]}
        moved = loop(parts(**wrong, penalise=disturbed))
        assert moved.tokens == broken("float32", "other", *wrong).tokens, fault


def test_with_all_faults_it_still_writes_a_text() -> None:
    text = broken("float32", "ours", *WRONG).text
    assert len(text.split()) > 10
    assert text.isascii()
