from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from walking import Without

from llm_walkthrough.arrays import Logits, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.candidates import (
    ON_THE_BAR,
    SHOWN,
    Distribution,
    Knobs,
    distribution,
    highest,
    label,
    turned,
)
from llm_walkthrough.sampling import (
    MinP,
    Processor,
    RepetitionPenalty,
    Sampling,
    Temperature,
    TopK,
    TopP,
    likeliest_first,
    pick,
    process,
    softmax,
)
from llm_walkthrough.stepper import Draw

LOGITS = np.log(np.array([0.5, 0.25, 0.15, 0.1], np.float32))
CONTEXT = np.array([1])


def followed(
    logits: Logits,
    context: TokenIds,
    processors: Sequence[Processor],
    u: float,
    looked_at: int | None = None,
) -> Distribution:
    return distribution(Draw.of(logits, context, processors, u), looked_at)


def wide(seed: int = 0) -> Logits:
    return np.random.default_rng(seed).normal(size=500).astype(np.float32) * 3


@pytest.mark.parametrize("u", [0.0, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize(
    "sampling",
    [Sampling(), Sampling(2, 0, 1), Sampling(0), Sampling(1, 0, 0.5, 0.2)],
    ids=str,
)
def test_it_draws_what_the_functions_draw(sampling: Sampling, u: float) -> None:
    logits, processors = wide(), sampling.processors()
    found = followed(logits, CONTEXT, processors, u)
    final = softmax(process(logits, CONTEXT, processors))
    assert found.draw.token == pick(final, u)
    np.testing.assert_array_equal(found.draw.probabilities, final)
    ranked = likeliest_first(final)[:ON_THE_BAR].tolist()
    assert [token for token, _ in found.bar] == ranked
    assert sum(p for _, p in found.bar) + found.rest == pytest.approx(1)


def test_candidates_carry_their_logit_after_each_stage_and_where_they_fall_out() -> (
    None
):
    processors = (RepetitionPenalty(2), Temperature(0.5), TopK(2))
    found = followed(LOGITS, CONTEXT, processors, 0)
    first, second, third, _ = found.rows
    assert first.after == pytest.approx((np.log(0.5), 2 * np.log(0.5), 2 * np.log(0.5)))
    assert second.token == 1
    assert second.after[0] == pytest.approx(2 * np.log(0.25))  # a negative logit sinks
    assert [row.out_at for row in found.rows] == [None, 2, None, 2]
    assert [stage.survivors for stage in found.stages] == [4, 4, 2]
    assert first.now + third.now == pytest.approx(1)
    assert second.now == 0


def test_an_earlier_stage_can_be_looked_at() -> None:
    processors = (Temperature(0.5), TopK(2))
    raw = followed(LOGITS, CONTEXT, processors, 0, looked_at=-1)
    assert [row.now for row in raw.rows] == pytest.approx([0.5, 0.25, 0.15, 0.1])
    warm = followed(LOGITS, CONTEXT, processors, 0, looked_at=0)
    assert [row.now for row in warm.rows] == pytest.approx(
        softmax(LOGITS / np.float32(0.5)).tolist()
    )
    assert followed(LOGITS, CONTEXT, processors, 0, looked_at=9).looked_at == 1


def test_the_list_is_as_long_as_said_and_holds_the_drawn_token() -> None:
    logits = wide(3)
    found = followed(logits, CONTEXT, (Temperature(3),), 0.98)
    assert len(found.rows) == SHOWN
    assert found.rows[-1].token == found.draw.token
    assert found.rows[-1].score.rank > SHOWN
    ranks = [row.score.rank for row in found.rows[:-1]]
    assert ranks == [*range(1, SHOWN)]


def test_where_a_mask_lets_only_unlikely_tokens_come_they_are_listed_too() -> None:
    logits = wide(4)
    unlikely = np.argsort(logits)[:3]

    def only_these(row: Logits, _context: TokenIds, /) -> Logits:
        masked = np.full_like(row, -np.inf)
        masked[unlikely] = row[unlikely]
        return masked

    found = followed(logits, CONTEXT, (only_these,), 0.5)
    assert len(found.rows) == SHOWN
    assert [row.token for row in found.rows[-3:]] == unlikely[::-1].tolist()
    assert [row.score.rank for row in found.rows[:-3]] == [*range(1, SHOWN - 2)]


def test_a_processor_that_can_explain_gives_its_name_and_its_reason() -> None:
    found = followed(LOGITS, CONTEXT, (Without(2), TopK(3)), 0)
    assert [stage.label for stage in found.stages] == ["not that", "top-k 3"]
    reasons = {row.token: row.reason for row in found.rows}
    assert reasons == {0: None, 1: None, 2: "2 is forbidden", 3: None}


def test_greedy_decoding_is_told() -> None:
    greedy = followed(LOGITS, CONTEXT, Sampling(0).processors(), 0.99)
    assert greedy.is_greedy
    assert greedy.draw.token == 0
    assert not followed(LOGITS, CONTEXT, Sampling().processors(), 0.99).is_greedy


def test_a_processor_is_named_by_its_label_or_its_class() -> None:
    assert (label(TopK(40)), label(Without(2))) == ("top-k 40", "not that")
    assert label(lambda logits, _context: logits) == "function"


@pytest.mark.parametrize("count", [1, 3, 4, 9])
def test_the_highest_come_first_and_of_equals_the_lower_place(count: int) -> None:
    values = np.array([2, 7, 7, 1], np.float32)
    assert highest(values, count) == [1, 2, 0, 3][:count]


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
@pytest.mark.parametrize("processors", [(), (TopK(2),), (TopP(0.5), MinP(0.1))])
def test_a_logit_that_is_no_number_is_named_whatever_the_filters_make_of_it(
    wrong: float, processors: tuple[Processor, ...]
) -> None:
    logits = LOGITS.copy()
    logits[2] = wrong
    with pytest.raises(InputError, match=f"must be a number or -inf, got {wrong}"):
        followed(logits, CONTEXT, processors, 0.5)


@pytest.mark.parametrize("begun", [Sampling(), Sampling(1, 0, 1, 0, 1)])
def test_a_knob_turns_to_the_very_number_also_from_a_whole_one(begun: Sampling) -> None:
    def turn(name: str, value: float) -> Sampling:
        return turned(Knobs(sampling=begun), {"name": name, "value": value}).sampling

    assert turn("top_p", 0.05) == replace(begun, top_p=0.05)
    assert turn("repetition_penalty", 1.5).repetition_penalty == 1.5
    assert repr(turn("top_k", 7.0).top_k) == "7"


def test_a_knob_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InputError, match="there is no knob 'heat'; there are"):
        turned(Knobs(), {"name": "heat", "value": 1})
