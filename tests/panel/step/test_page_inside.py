"""The tab "Inside" shows the numbers of the look, in tints and in words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from fake_inside import LAYERS, fake_inside
from walking import HOSTILE, Reader, made, numbers, steps, tokenizer, walk

from llm_walkthrough.panel.step import page_inside
from llm_walkthrough.panel.step.looking import TAB, Look
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.panel.step.walk import Walk
from llm_walkthrough.panel.wording import percent

NOTES = {0: "the embedding alone", LAYERS: "the model"}


@pytest.fixture
def one() -> Iterator[Walk]:
    with fake_inside():
        one = walk()
        steps(one, 20)
        one.act("side", TAB)
        yield one


def drawn(one: Walk) -> Reader:
    return Reader(page(one.snapshot(), tokenizer()))


def chips(shown: Reader) -> list[dict[str, str | None]]:
    return [a for _, a in shown.tags if a.get("data-item") == "looks"]


def shares(one: Walk) -> list[float]:
    look = one.snapshot().look
    assert isinstance(look, Look)
    return look.shares(one.now.layer, one.now.head)


def test_each_token_has_a_chip_that_tells_its_share(one: Walk) -> None:
    told = [str(chip["data-tip"]) for chip in chips(drawn(one))]
    assert len(told) == one.stepper.position
    for i, (token, share) in enumerate(
        zip(one.stepper.tokens, shares(one), strict=True)
    ):
        piece = tokenizer().piece(int(token))
        assert told[i] == f"{piece} · position {i} · {percent(share)} %"


def test_tints_go_up_to_the_strongest_look_but_that_at_the_first_token(
    one: Walk,
) -> None:
    for layer, head in (("all layers", "all heads"), ("layer 3", "head 1")):
        one.act("layer", layer)
        one.act("head", head)
        shown, share = drawn(one), shares(one)
        first, *others = (str(chip["class"]) for chip in chips(shown))
        assert "lw-t" not in first
        tints = [int(re.findall(r"lw-t(\d)", style)[0]) for style in others]
        most = max(share[1:])
        for tint, its in zip(tints, share[1:], strict=True):
            assert tint == min(4, int(its / most * 5))
        assert tints[share.index(most) - 1] == 4
        strongest = tokenizer().piece(int(one.stepper.tokens[share.index(most)]))
        assert f"0 % {percent(most)} % on {strongest}" in " ".join(shown.text.split())
        assert f"{percent(share[0])} % on the first token, not shaded" in shown.text


def test_a_text_of_one_token_has_no_strongest_look() -> None:
    with fake_inside():
        one = walk()
        one.act("ask_as", "a text to continue")
        one.act("ask", "a")
        one.act("side", TAB)
        assert one.stepper.position == 1
        shown = drawn(one)
    assert "100.0 % on the first token, not shaded" in shown.text
    assert len(chips(shown)) == 1


def test_of_a_long_text_the_end_is_drawn_and_the_rest_told(
    one: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_inside, "_SHOWN", 4)
    shown = drawn(one)
    told = [str(chip["data-tip"]) for chip in chips(shown)]
    assert [numbers(words)[-2] for words in told] == [21, 22, 23, 24]
    before = percent(sum(shares(one)[:21]))
    assert f"… 21 earlier, {before} %" in shown.text


def test_the_lens_has_a_row_for_each_layer_unless_the_learner_guesses(
    one: Walk,
) -> None:
    look, shown = one.snapshot().look, drawn(one)
    assert isinstance(look, Look)
    words = " ".join(shown.text.split())
    for row, (token, share) in enumerate(look.lens):
        said = f"{tokenizer().piece(token)} {NOTES.get(row, '')}"
        assert f"{row}{said}{percent(share)} %" in words
    assert len([t for t, a in shown.tags if a.get("scope") == "row"]) == LAYERS + 1
    one.act("guessing")
    hidden = drawn(one)
    assert "Hidden while you guess." in hidden.text
    assert not [a for _, a in hidden.tags if a.get("scope") == "row"]


def test_tokens_of_strangers_are_escaped(
    one: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = type(one.tokenizer)
    hostile = lambda _self, token: HOSTILE[token % len(HOSTILE)]  # noqa: E731
    monkeypatch.setattr(kind, "piece", hostile)
    shown = drawn(one)
    assert not {"script", "style"} & {tag for tag, _ in shown.tags}
    assert "<script>" in shown.text


def test_the_picture_without_a_kernel_has_both_as_tables(one: Walk) -> None:
    shown, words = twin(one.snapshot(), tokenizer())
    look, share = one.snapshot().look, shares(one)
    assert isinstance(look, Look)
    for text in (Reader(shown).text, words):
        assert "Where the newest token looks: all layers, all heads" in text
        assert "Next token after … layers" in text
        assert f"{percent(max(share))} %" in text
        for token, likely in look.lens:
            assert tokenizer().piece(token) in text
            assert f"{percent(likely)} %" in text
    assert shown.count("<tr>") == LAYERS + 1 + 10 + 2
    assert "class=" not in shown
    one.act("side", "Text")
    assert "Next token" not in twin(one.snapshot(), tokenizer())[1]
    assert len(made(one)) == 20
