from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llm_walkthrough import sampling
from llm_walkthrough.arrays import Logits, Probabilities, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.sampling import (
    KNOBS,
    Knob,
    MinP,
    Processor,
    RepetitionPenalty,
    Sampling,
    Temperature,
    TopK,
    TopP,
    TypicalP,
    choose,
    forced_token,
    likeliest_first,
    log_probability,
    pick,
    process,
    softmax,
    uniform,
)

NO_CONTEXT, CONTEXT = np.array([], np.int64), np.array([1])
# ids 0 … 3 have the probabilities 3/16, 8/16, 1/16, 4/16
FOUR = np.log(np.array([3, 8, 1, 4])).astype(np.float32)
# a row as a small model gives it, with a few equal logits
WIDE = np.round(np.random.default_rng(1).normal(0, 3, 2000), 2).astype(np.float32)
FEW, MANY = (1e-6, 0.1, 0.5), (0.9, 0.99999)
FILTERS: list[Processor] = [
    *map(TopK, (1, 2, 7, 500, 1999, 2000, 2001)),
    *map(TopP, (*FEW, *MANY)),
    *map(TypicalP, (*FEW, *MANY)),
    *map(MinP, (*FEW, 1)),
]
ALL_PROCESSORS: list[Processor] = [
    *FILTERS,
    RepetitionPenalty(1.3),
    Temperature(0.7),
    TopP(1),
    TypicalP(1),
]


def survivors(processor: Processor, logits: Logits) -> list[int]:
    """The ids of the tokens that a processor leaves."""
    kept: list[int] = np.flatnonzero(np.isfinite(processor(logits, CONTEXT))).tolist()
    return kept


# --- four tokens by hand --------------------------------------------------------------


@pytest.mark.parametrize(
    ("processors", "weights"),
    [
        ([], [3, 8, 1, 4]),
        ([Temperature(0.5)], [9, 64, 1, 16]),
        ([Temperature(2)], [math.sqrt(3), math.sqrt(8), 1, 2]),
        ([TopK(2)], [0, 8, 0, 4]),
        # from the likeliest on, the sums are 8/16, 12/16, 15/16 and 1
        ([TopP(0.45)], [0, 1, 0, 0]),
        ([TopP(0.55)], [0, 8, 0, 4]),
        ([TopP(0.8)], [3, 8, 0, 4]),
        ([TopP(0.95)], [3, 8, 1, 4]),
        # the entropy is 1.18 nats, the surprises are 1.67, 0.69, 2.77 and 1.39: from
        # the nearest on, the sums are 4/16, 12/16, 15/16 and 1
        ([TypicalP(0.2)], [0, 0, 0, 1]),
        ([TypicalP(0.7)], [0, 8, 0, 4]),
        ([TypicalP(0.8)], [3, 8, 0, 4]),
        ([TypicalP(0.95)], [3, 8, 1, 4]),
        # 0.45 of 8/16 is 3.6/16, 0.3 of it is 2.4/16
        ([MinP(0.45)], [0, 8, 0, 4]),
        ([MinP(0.3)], [3, 8, 0, 4]),
        # half of log 8 is the log of the root of 8
        ([RepetitionPenalty(2)], [3, math.sqrt(8), 1, 4]),
        # from left to right
        ([TopP(0.8), Temperature(1 / 2)], [9, 64, 0, 16]),
        ([Temperature(1 / 2), TopP(0.8)], [0, 64, 0, 16]),
    ],
    ids=str,
)
def test_the_distribution_is_the_one_that_is_worked_out_by_hand(
    processors: list[Processor], weights: list[float]
) -> None:
    expected = [weight / sum(weights) for weight in weights]
    processed = process(FOUR, CONTEXT, processors)
    assert softmax(processed).tolist() == pytest.approx(expected)


def test_a_penalty_pushes_a_negative_logit_further_down() -> None:
    logits = np.array([-1, -2, 0, 3], np.float32)
    penalised = RepetitionPenalty(2)(logits, np.array([0, 2, 3]))
    assert penalised.tolist() == [-2, -2, 0, 1.5]


def test_a_penalty_counts_a_token_once_however_often_it_stands_there() -> None:
    once = RepetitionPenalty(1.5)(FOUR, np.array([1, 3]))
    often = RepetitionPenalty(1.5)(FOUR, np.array([1, 3, 1, 1, 3]))
    np.testing.assert_array_equal(once, often)


def test_a_penalty_below_one_favours_what_was_said() -> None:
    favoured = RepetitionPenalty(0.5)(np.array([1, -1], np.float32), np.array([0, 1]))
    assert favoured.tolist() == [2, -0.5]


def test_a_penalty_leaves_the_words_before_its_start_alone() -> None:
    context = np.array([1, 3, 0])  # the prompt is [1, 3], the answer so far [0]
    after_prompt = RepetitionPenalty(2, start=2)
    expected = RepetitionPenalty(2)(FOUR, context[2:])
    np.testing.assert_array_equal(after_prompt(FOUR, context), expected)
    assert after_prompt(FOUR, context[:2]).tolist() == FOUR.tolist()  # nothing said yet
    with pytest.raises(InputError, match="start must be 0 or more, got -1; 0 counts"):
        RepetitionPenalty(2, start=-1)


# --- ties and ends --------------------------------------------------------------------


def test_filters_take_the_lowest_ids_of_equals() -> None:
    tied = np.array([1, 2, 1, 2, 1], np.float32)
    kept = ["".join(map(str, survivors(TopK(k), tied))) for k in range(1, 7)]
    assert kept == ["1", "13", "013", "0123", "01234", "01234"]
    level = np.zeros(6, np.float32)
    for processor in (TopP(0.5), TypicalP(0.5)):
        assert survivors(processor, level) == [0, 1, 2]


@pytest.mark.parametrize("processor", FILTERS, ids=str)
def test_a_filter_keeps_what_its_definition_says(processor: Processor) -> None:
    assert survivors(processor, WIDE) == sorted(kept_by_definition(processor))


def kept_by_definition(processor: Processor) -> list[int]:
    """The survivors of WIDE, found without numpy."""
    total = math.fsum(math.exp(logit) for logit in WIDE.tolist())
    surprise = [math.log(total) - logit for logit in WIDE.tolist()]
    entropy = math.fsum(math.exp(-one) * one for one in surprise)
    ranked = sorted(range(len(WIDE)), key=lambda token: surprise[token])  # ties by id
    match processor:
        case TopK(k):
            return ranked[:k]
        case MinP(p):
            least = math.exp(-min(surprise)) * p * (1 - 1e-6)
            return [token for token in ranked if math.exp(-surprise[token]) >= least]
        case TypicalP():
            ranked = sorted(range(len(WIDE)), key=lambda t: abs(surprise[t] - entropy))
    kept, reached = [], 0.0
    for token in ranked:
        if reached >= getattr(processor, "p", 1):
            break
        kept.append(token)
        reached += math.exp(-surprise[token])
    return kept


def test_top_p_of_one_keeps_even_a_token_that_rounding_would_lose() -> None:
    logits = np.array([0, -40, -90], np.float32)  # 1 + e^-40 is 1 in float64
    np.testing.assert_array_equal(TopP(1)(logits, NO_CONTEXT), logits)


@pytest.mark.parametrize("temperature", [0.001, 100])
def test_the_ends_of_the_temperature_give_neither_inf_nor_nan(
    temperature: float,
) -> None:
    logits = np.array([-80, 80, 79.9, -np.inf], np.float32)
    with np.errstate(all="raise", under="ignore"):
        probabilities = softmax(Temperature(temperature)(logits, NO_CONTEXT))
    assert math.isclose(probabilities.sum(), 1)
    assert probabilities[3] == 0
    assert probabilities[1] > probabilities[2] >= probabilities[0] >= 0


def test_no_processor_changes_its_argument_type_and_shape_or_revives_a_token() -> None:
    logits, context = WIDE.copy(), np.array([5, 17, 5])
    logits.flags.writeable = context.flags.writeable = False
    one_left = np.full(50, -np.inf, np.float32)
    one_left[17] = -3
    offenders = [
        processor
        for processor in ALL_PROCESSORS
        if (made := processor(logits, context)).dtype != WIDE.dtype
        or made.shape != WIDE.shape
        or survivors(processor, one_left) != [17]
    ]
    assert offenders == []


def test_a_processor_prints_and_compares_by_its_value() -> None:
    assert str(TopK(5)) == "TopK(k=5)"
    assert TopK(5) == TopK(k=5) != TopK(6)
    assert str(Temperature(0.8)) == "Temperature(temperature=0.8)"


# --- softmax --------------------------------------------------------------------------


def test_softmax_takes_logits_of_any_size() -> None:
    expected = [0.5, 0.5, 0]
    for size in (-3e38, 0, 3e38):
        logits = np.array([size, size, -np.inf], np.float32)
        assert softmax(logits).tolist() == expected


def test_softmax_sums_to_one_and_is_of_double_precision() -> None:
    probabilities = softmax(WIDE)
    assert probabilities.dtype == np.float64
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)


def test_log_probability_is_the_logarithm_of_softmax() -> None:
    wanted = np.log(softmax(WIDE))
    given = [log_probability(WIDE, token) for token in range(len(WIDE))]
    np.testing.assert_allclose(given, wanted, atol=1e-5)
    certain = TopK(1)(FOUR, NO_CONTEXT)
    assert [log_probability(certain, token) for token in (1, 0)] == [0, -math.inf]


# --- pick -----------------------------------------------------------------------------


def test_pick_reads_a_bar_that_is_drawn_by_hand() -> None:
    bar = "1111111133330002"  # one letter for each sixteenth
    picked = [pick(softmax(FOUR), (place + 0.5) / 16) for place in range(16)]
    assert picked == [int(token) for token in bar]


def test_a_token_owns_the_left_end_of_its_piece_and_not_the_right() -> None:
    halves = np.array([0.25, 0.5, 0.25])
    below = [math.nextafter(end, 0) for end in (0.5, 0.75, 1)]
    assert [pick(halves, u) for u in (0, 0.5, 0.75)] == [1, 0, 2]
    assert [pick(halves, u) for u in below] == [1, 0, 2]


@pytest.mark.parametrize("logits", [FOUR, WIDE, TopK(2)(FOUR, CONTEXT)])
def test_the_ends_of_u_pick_the_likeliest_and_the_unlikeliest(logits: Logits) -> None:
    probabilities = softmax(logits)
    ranked = likeliest_first(probabilities)
    assert pick(probabilities, 0) == ranked[0]
    assert pick(probabilities, math.nextafter(1, 0)) == ranked[-1]


@pytest.mark.parametrize("logits", [FOUR, WIDE[:40], np.zeros(7, np.float32)])
def test_over_an_even_grid_each_token_is_picked_in_its_proportion(
    logits: Logits,
) -> None:
    probabilities, grid = softmax(logits), 4000
    counts = Counter(pick(probabilities, (i + 0.5) / grid) for i in range(grid))
    for token, probability in enumerate(probabilities):
        assert abs(counts[token] - grid * probability) <= 1


def test_likeliest_first_breaks_ties_by_id_and_leaves_out_the_impossible() -> None:
    probabilities: Probabilities = np.array([0.2, 0, 0.3, 0.2, 0.3])
    assert likeliest_first(probabilities).tolist() == [2, 4, 0, 3]
    assert likeliest_first(softmax(WIDE)).tolist() == kept_by_definition(TopK(2000))


# --- choose ---------------------------------------------------------------------------


def odd_ids_only(logits: Logits, _context: TokenIds) -> Logits:
    """A mask, such as that of a grammar."""
    masked = logits.copy()
    masked[::2] = -np.inf
    return masked


PROCESSORS: list[Processor] = [
    *ALL_PROCESSORS,
    odd_ids_only,
    *map(TopK, (3, 40)),
    RepetitionPenalty(0.5, 2),
    Temperature(0.1),
]
LOGITS = st.one_of(
    st.floats(-30, 30, width=32),
    st.sampled_from([-np.inf, -1.0, 0.0, 2.0, 2.0000002]),  # ties, and nearly
)


@settings(max_examples=400, deadline=None)
@given(data=st.data(), size=st.sampled_from([1, 3, 17, 64, 700]))
def test_what_survivors_draw_is_what_the_whole_row_draws(
    data: st.DataObject, size: int
) -> None:
    few = data.draw(st.lists(LOGITS, min_size=1, max_size=64))
    seed = data.draw(st.integers(0, 99))
    logits = np.random.default_rng(seed).choice(np.array(few, np.float32), size)
    ids = st.integers(0, size - 1)
    context = np.array(data.draw(st.lists(ids, max_size=8)), np.int64)
    chain = data.draw(st.lists(st.sampled_from(PROCESSORS), max_size=6))
    u = data.draw(st.sampled_from([0, 0.3, 0.5, 1 - 2**-53]))
    try:
        whole = softmax(process(logits, context, chain))
    except InputError as error:
        with pytest.raises(InputError, match=re.escape(str(error))):
            choose(logits, context, chain, u)
        return
    assert choose(logits, context, chain, u) == pick(whole, u)
    ids_left, left = sampling.survivors(logits, context, chain)
    shares = softmax(left)  # 0 also where exp() of what is far below underflows
    np.testing.assert_array_equal(shares[shares > 0], whole[whole > 0])
    assert ids_left[shares > 0].tolist() == np.flatnonzero(whole).tolist()


@pytest.mark.parametrize("size", [1, 40, 639, 640, 641, 5000])
def test_the_k_highest_are_found_in_a_row_of_any_length(size: int) -> None:
    logits = np.random.default_rng(size).integers(0, 50, size).astype(np.float32)
    likeliest = np.argsort(-logits, kind="stable")[:40]
    assert survivors(TopK(40), logits) == sorted(likeliest.tolist())


CHAINS: list[list[Processor]] = [
    [],
    [TopK(1)],
    [RepetitionPenalty(1.3), TopK(1)],
    [TopK(1), Temperature(0.5)],
    [TopK(5)],
    [RepetitionPenalty(1.1), Temperature(0.8), TopK(40), TopP(0.9)],
    [Temperature(2), MinP(0.1)],
]


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("step", [0.01, 4], ids=["hardly a tie", "many ties"])
def test_choose_picks_from_the_softmax_of_what_the_processors_leave(
    chain: list[Processor], step: float
) -> None:
    chance = np.random.default_rng(7)
    for _ in range(60):
        logits = (np.round(chance.normal(0, 3, 300) / step) * step).astype(np.float32)
        context, u = chance.integers(300, size=20), float(chance.random())
        expected = pick(softmax(process(logits, context, chain)), u)
        assert choose(logits, context, chain, u) == expected


@pytest.mark.parametrize("chain", [[], [TopK(1)], [Temperature(2), TopK(1)]], ids=str)
@pytest.mark.parametrize("value", [-np.inf, np.nan, np.inf])
def test_choose_refuses_what_softmax_refuses_in_the_same_words(
    chain: list[Processor], value: float
) -> None:
    logits = np.full(5, -np.inf, np.float32)
    logits[3] = value
    with pytest.raises(InputError) as refusal:
        softmax(process(logits, NO_CONTEXT, chain))
    with pytest.raises(InputError, match=re.escape(str(refusal.value))):
        choose(logits, NO_CONTEXT, chain, 0.5)


# --- uniform --------------------------------------------------------------------------


def test_the_number_of_a_seed_and_a_position_is_always_the_same() -> None:
    assert uniform(3, 5) == uniform(3, 5)
    # documented bits of numpy's PCG64, seeded with the sequence 3, 5
    assert uniform(3, 5) == np.random.Generator(np.random.PCG64([3, 5])).random()


@pytest.mark.parametrize("seed", [0, 3, 10**12])
def test_the_number_is_that_of_a_generator_of_its_own_at_every_position(
    seed: int,
) -> None:
    positions = [*range(200), 8191, 8192, 131_071, 64, 0]
    for position in positions:
        alone = float(np.random.default_rng((seed, position)).random())
        assert uniform(seed, position) == alone


def test_no_two_seeds_or_positions_share_a_number() -> None:
    numbers = [uniform(seed, place) for seed in range(40) for place in range(40)]
    assert len(set(numbers)) == 1600
    assert min(numbers) >= 0
    assert max(numbers) < 1
    counts, _ = np.histogram(numbers, bins=8, range=(0, 1))
    assert counts.min() > 150  # 200 expected in each
    grid = np.reshape(numbers, (40, 40))
    assert abs(np.corrcoef(grid[:-1].ravel(), grid[1:].ravel())[0, 1]) < 0.1
    assert abs(np.corrcoef(grid[:, :-1].ravel(), grid[:, 1:].ravel())[0, 1]) < 0.1


# --- the usual settings ---------------------------------------------------------------


def test_the_usual_settings_are_applied_in_the_order_of_the_design() -> None:
    settings = Sampling(0.5, 9, 0.8, 0.05, 1.2, 0.7)
    assert settings.processors() == (
        RepetitionPenalty(1.2),
        Temperature(0.5),
        TopK(9),
        TypicalP(0.7),  # as llama.cpp has it, between top-k and top-p
        TopP(0.8),
        MinP(0.05),
    )


def test_the_defaults_are_those_that_make_most_sense() -> None:
    assert Sampling().processors() == (
        RepetitionPenalty(1.1),
        Temperature(0.3),
        TopK(40),
        TopP(0.9),
    )


def test_the_usual_penalty_begins_where_it_is_told_and_nothing_else_changes() -> None:
    all_tokens, new_tokens = Sampling().processors(), Sampling().processors(41)
    assert all_tokens[0] == RepetitionPenalty(1.1, start=0)
    assert new_tokens == (RepetitionPenalty(1.1, start=41), *all_tokens[1:])


def test_temperature_zero_is_greedy_and_the_filters_are_checked_all_the_same() -> None:
    assert Sampling(temperature=0).processors() == (RepetitionPenalty(1.1), TopK(1))
    with pytest.raises(InputError, match="top-k must be"):
        Sampling(temperature=0, top_k=-1)


# --- the knobs ------------------------------------------------------------------------

by_knob = pytest.mark.parametrize("knob", KNOBS, ids=lambda knob: knob.name)


def test_every_setting_has_one_knob() -> None:
    names = sorted(field.name for field in fields(Sampling))
    assert sorted(knob.name for knob in KNOBS) == names


@by_knob
def test_a_knob_alone_makes_its_processor(knob: Knob) -> None:
    off = Sampling(**{one.name: one.off for one in KNOBS})  # type: ignore[arg-type]
    assert off.processors() == ()
    number = knob.kind(knob.slider[1] - knob.slider[2])
    turned = off.turned(knob.name, number)
    assert vars(turned) == {**vars(off), knob.name: number}
    (processor,) = turned.processors()
    assert processor == knob.processor(number)
    assert knob.shown(number) in getattr(processor, "label", "")
    assert knob.shown(knob.off) == "off"


@by_knob
def test_a_slider_goes_no_further_than_its_knob(knob: Knob) -> None:
    low, high, step = knob.slider
    assert low <= getattr(Sampling, knob.name) <= high
    for number in (low, low + step, high):
        Sampling().turned(knob.name, number)


@by_knob
def test_the_ends_of_a_range_belong_to_it_and_what_is_beyond_is_refused(
    knob: Knob,
) -> None:
    low, high = knob.allowed
    for end in {low, high} - {math.inf}:
        processed = knob.processor(end)(FOUR, np.array([1]))
        assert softmax(processed).sum() == pytest.approx(1)
    beyond = [low - low / 8, high + 0.5, -high, math.nan, -1]
    beyond += [2.5, True] if knob.kind is int else [math.inf]
    for number in beyond:
        with pytest.raises(InputError, match=rf"^{knob.label} must be .*got {number};"):
            knob.processor(number)


def test_a_knob_turns_to_a_number_of_its_kind_and_another_is_refused() -> None:
    assert repr(Sampling().turned("top_k", 7.0).top_k) == "7"
    assert repr(Sampling().turned("temperature", 2).temperature) == "2.0"
    with pytest.raises(InputError, match="there is no knob 'heat'; there are"):
        Sampling().turned("heat", 1)


def test_a_processor_is_called_by_its_number_in_little_space() -> None:
    named = [Temperature(0.8).label, TopK(40).label, TopK(1).label, TopP(0.9).label]
    assert named == ["÷ T 0.80", "top-k 40", "likeliest", "top-p 0.90"]
    assert [knob.shown(0) for knob in KNOBS if knob.greedy == 0] == ["greedy"]


# --- bad input ------------------------------------------------------------------------


def with_logit(logit: float) -> Probabilities:
    return softmax(np.array([-np.inf, logit], np.float32))


def with_u(u: float) -> int:
    return pick(softmax(FOUR), u)


def with_seed(seed: int) -> float:
    return uniform(seed, 0)


NO_U = "u must be at least 0 and below 1, got"
NO_LOGIT = "a logit must be a number or -inf, got"
LOOK = "look at the logits before and after each processor"
REFUSED: dict[tuple[Callable[[Any], object], float], tuple[str, str]] = {
    (Temperature, 0.0): (
        "temperature must be between 0.001 and 100, got 0.0",
        "for greedy decoding use TopK(1), or the setting temperature 0",
    ),
    (TopK, 0): (
        "top-k must be a whole number of at least 1, got 0",
        "leave TopK out, or set top_k to 0, to switch it off",
    ),
    (with_u, 1.0): (f"{NO_U} 1.0", "draw another"),
    (with_u, -0.1): (f"{NO_U} -0.1", "draw another"),
    (with_u, math.nan): (f"{NO_U} nan", "draw another"),
    (with_seed, -1): ("seed must be 0 or more, got -1", "any whole number will do"),
    (with_logit, -math.inf): (
        "no token is left to choose from: every logit is -inf",
        "loosen a filter",
    ),
    (with_logit, math.nan): (f"{NO_LOGIT} nan", LOOK),
    (with_logit, math.inf): (f"{NO_LOGIT} inf", LOOK),
}


@pytest.mark.parametrize(("make", "value"), REFUSED)
def test_an_error_names_the_culprit_the_value_the_range_and_the_way_out(
    make: Callable[[Any], object], value: float
) -> None:
    with pytest.raises(InputError) as caught:
        make(value)
    assert str(caught.value) == "; ".join(REFUSED[make, value])


class Forcing:
    """Says that token 2 must come after an odd number of tokens."""

    def forced(self, context: TokenIds) -> int | None:
        return 2 if len(context) % 2 else None

    def __call__(self, logits: Logits, _context: TokenIds, /) -> Logits:
        return logits


def test_a_token_is_forced_by_the_processor_that_knows_it_must_come() -> None:
    row: list[Processor] = [Temperature(2), Forcing(), TopK(1)]
    assert forced_token(np.array([1]), row) == 2
    assert forced_token(np.array([1, 1]), row) is None
    assert forced_token(np.array([1]), [Temperature(2), TopK(1)]) is None
