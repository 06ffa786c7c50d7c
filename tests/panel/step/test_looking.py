"""A look is made when the tab is open, once for each run, and changes nothing."""

from __future__ import annotations

import gc
import re
import time
import weakref
from collections.abc import Iterator
from unittest.mock import patch

import numpy as np
import pytest
from fake_inside import HEADS, LAYERS, NAME, FakeInside, FakeLook, fake_inside
from toy_model import TOYS, ToyModel
from walking import END, PROMPT, made, now, steps, take, tokenizer, toy, walk

from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.step.looking import TAB, Look
from llm_walkthrough.panel.step.page import page
from llm_walkthrough.panel.step.walk import Walk


@pytest.fixture
def inside() -> Iterator[type[FakeInside]]:
    with fake_inside() as fake:
        yield fake


def looked(one: Walk) -> Look:
    look = one.snapshot().look
    assert isinstance(look, Look)
    return look


def test_while_the_tab_is_closed_nothing_is_imported() -> None:
    with patch.dict("sys.modules", {NAME: None}):  # an import of it would fail
        one = walk()
        steps(one, 3)
        one.act("back")
        assert one.snapshot().look is None
        one.act("side", TAB)
        assert isinstance(one.snapshot().look, ImportError)
        assert "ModuleNotFoundError(" in page(one.snapshot(), tokenizer())


def test_it_looks_once_for_each_run_at_its_last_token(
    inside: type[FakeInside],
) -> None:
    one = walk()
    one.snapshot()
    assert inside.opened == []
    one.act("side", TAB)
    for _ in range(3):
        one.snapshot()
    assert inside.looked == [(len(PROMPT) - 1, PROMPT[-1:].tolist())]
    steps(one, 1)
    for action in ("roll", "large", "guessing"):
        one.act(action)
        one.snapshot()
    assert inside.looked[1:] == [(len(PROMPT), made(one))]
    steps(one, 1)
    one.snapshot()
    assert inside.looked[2:] == [(len(PROMPT) + 1, made(one)[1:])]
    assert len(inside.opened) == 1


def test_the_last_row_of_the_lens_is_what_the_model_says(
    inside: type[FakeInside],
) -> None:
    assert inside.looked == []
    one = walk()
    one.act("side", TAB)
    for _ in range(4):
        look, favourite = looked(one), now(one).rows[0]
        assert len(look.lens) == LAYERS + 1
        token, share = look.lens[-1]
        assert token == favourite.token
        assert share == pytest.approx(favourite.score.probability)
        assert len(look.shares(one.now.layer, one.now.head)) == one.stepper.position
        steps(one, 1)


@pytest.mark.parametrize("kind", TOYS)
def test_what_is_decoded_with_the_tab_open_is_the_same(
    kind: type[ToyModel], inside: type[FakeInside]
) -> None:
    def wandered(side: str) -> tuple[list[list[int]], np.ndarray, int]:
        model = toy(kind)
        one = walk(model)
        one.act("side", side)
        page(one.snapshot(), tokenizer())
        for action, value in (
            *(("step", None),) * 5,
            *(("back", 3), ("roll", None), ("step", None), ("switch", "A")),
            *(("step", None), ("switch", "B"), ("step", None), ("back_to", 1)),
        ):
            one.act(action, value)
            one.act("unroll")
            page(one.snapshot(), tokenizer())
            assert one.now.notice.text == ""
        tokens = [branch.tolist() for branch in one.stepper.branch_tokens]
        return tokens, one.stepper.logits, model.num_runs

    closed, opened = wandered("Cache"), wandered(TAB)
    assert closed[0] == opened[0]
    np.testing.assert_array_equal(closed[1], opened[1])
    assert closed[2] == opened[2]
    assert len(inside.looked) > 8


def test_a_step_with_the_tab_closed_gives_the_memory_back(
    inside: type[FakeInside],
) -> None:
    one = walk()
    for side in (TAB, "Cache", TAB, "Cache"):  # there and back costs one look
        one.act("side", side)
        one.snapshot()
    assert len(inside.opened) == 1
    one.act("side", TAB)
    weights = weakref.ref(looked(one).weights)
    one.act("side", "Cache")
    steps(one, 2)
    one.snapshot()
    gc.collect()
    assert weights() is None
    assert len(inside.looked) == 1
    one.act("side", TAB)
    one.snapshot()
    assert len(inside.opened) == 2


def test_one_layer_one_head_or_the_mean_of_all_can_be_chosen(
    inside: type[FakeInside],
) -> None:
    one = walk()
    steps(one, 3)
    one.act("side", TAB)
    look = looked(one)
    assert len(inside.looked) == 1
    every = look.weights
    for layer, head, wanted in (
        ("all layers", "all heads", every.mean(axis=(0, 1))),
        ("layer 0", "all heads", every[0].mean(axis=0)),
        ("all layers", "head 0", every[:, 0].mean(axis=0)),
        (f"layer {LAYERS - 1}", f"head {HEADS - 1}", every[-1, -1]),
    ):
        one.act("layer", layer)
        one.act("head", head)
        shares = look.shares(one.now.layer, one.now.head)
        assert shares == pytest.approx(wanted.tolist())
        assert sum(shares) == pytest.approx(1, abs=1e-5)
    for action in ("step", "reset"):
        one.act(action)
        one.act("side", "Text")
        one.act("side", TAB)
        assert (one.now.layer, one.now.head) == (layer, head)
    assert len(inside.looked) == 1


def test_a_layer_or_head_that_is_not_there_stands_for_all(
    inside: type[FakeInside],
) -> None:
    one = walk()
    one.act("side", TAB)
    look = looked(one)
    every = look.weights.mean(axis=(0, 1), dtype=float).tolist()
    assert look.shares(f"layer {LAYERS}", "head 99") == every
    assert look.shares(one.now.layer, one.now.head) == every
    assert len(inside.opened) == 1


def test_a_model_that_cannot_be_opened_says_so_and_goes_on(
    inside: type[FakeInside], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **_options: object) -> None:
        raise InputError("the operator Fancy<b> is in the way")

    monkeypatch.setattr(inside, "__init__", refuses)
    one = walk()
    one.act("side", TAB)
    for count in range(3):
        assert str(one.snapshot().look) == "the operator Fancy<b> is in the way"
        shown = page(one.snapshot(), tokenizer())
        assert "the operator Fancy&lt;b&gt; is in the way" in shown
        assert len(made(one)) == count
        steps(one, 1)
        assert one.now.notice.text == ""


def test_the_time_of_a_look_is_its_own_and_not_that_of_the_step(
    inside: type[FakeInside], monkeypatch: pytest.MonkeyPatch
) -> None:
    swift = inside.look

    def slow(self: FakeInside, unseen: TokenIds, cache: KVCache) -> FakeLook:
        time.sleep(0.2)
        return swift(self, unseen, cache)

    monkeypatch.setattr(inside, "look", slow)
    one = walk()
    one.act("side", TAB)
    steps(one, 1)
    shown = page(one.snapshot(), tokenizer())
    (told,) = re.findall(r"looked in <b>(\d+) ms", shown)
    assert float(told) == pytest.approx(1000 * looked(one).seconds, abs=1)
    assert float(told) >= 200
    (rest,) = re.findall(r"all else <b>(-?[\d.]+) ms", shown)
    assert 0 <= float(rest) < 150


def test_a_run_goes_on_to_its_end_with_the_tab_open(inside: type[FakeInside]) -> None:
    one = walk()
    one.act("side", TAB)
    one.act("limit", "5 tokens")
    one.act("run")
    while one.now.running:
        one.act("tick")
        page(one.snapshot(), tokenizer())
    assert len(inside.looked) == len(made(one)) == 5
    assert END not in made(one)
    one.act("back", 2)
    take(one, 1)
    assert isinstance(one.snapshot().look, Look)
