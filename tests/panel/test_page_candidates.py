from __future__ import annotations

import json
import re

import pytest
from walking import Hostile, Reader, Without, now, numbers, tokenizer, walk

from llm_walkthrough.panel.candidates import SHOWN, Knobs
from llm_walkthrough.panel.page_candidates import candidates_section, plots, sliders
from llm_walkthrough.panel.step.walk import Walk
from llm_walkthrough.sampling import Sampling


def drawn(one: Walk) -> Reader:
    return Reader(candidates_section(now(one), one.now, tokenizer(), can_take=True))


def test_every_candidate_can_be_taken_and_names_token_and_position() -> None:
    one = walk()
    values = [json.loads(str(a["data-value"])) for a in drawn(one).actions("take")]
    assert [value["token"] for value in values] == [row.token for row in now(one).rows]
    assert {value["position"] for value in values} == {one.stepper.position}


def test_each_processor_shows_how_many_tokens_it_leaves() -> None:
    one = walk(sampling=Sampling())
    page, found = drawn(one), now(one)
    assert len(page.actions("stage")) == 1 + len(found.stages)
    for stage in found.stages:
        assert f"{stage.label} {stage.survivors:,}" in page.text
    pressed = [
        a["data-value"] for a in page.actions("stage") if a["aria-pressed"] == "true"
    ]
    assert pressed == [str(len(found.stages) - 1)]


def test_the_drawn_one_is_marked_and_those_that_are_out_say_why() -> None:
    one = walk(sampling=Sampling(top_k=5, top_p=1, repetition_penalty=1))
    page = drawn(one)
    assert len(page.styled("lw-drawn")) == 1
    assert len(page.styled("lw-out")) == SHOWN - 5
    reasons = {a["title"] for a in page.styled("lw-flag") if "title" in a}
    assert reasons == {"top-k 5 leaves 5 tokens, but not this one"}


def test_a_large_logit_has_fewer_digits_and_one_token_is_no_tokens() -> None:
    one = walk(sampling=Sampling(0.01, 1, 1))
    page = candidates_section(now(one), one.now, tokenizer(), can_take=True)
    assert re.search(r">\d{3}\.\d<", page)
    assert not re.search(r">\d{3}\.\d\d<", page)
    titles = [str(a["title"]) for a in drawn(one).styled("lw-stage")]
    assert [title for title in titles if "leaves 1 token;" in title]
    assert not [title for title in titles if "leaves 1 tokens" in title]


def test_the_reason_of_a_processor_that_can_explain_is_shown() -> None:
    third = now(walk()).rows[2].token
    page = drawn(walk(processors=[Without(third)]))
    titles = [a["title"] for a in page.styled("lw-flag") if "title" in a]
    assert titles == [f"{third} is forbidden"]
    names = [str(a["aria-label"]) for a in page.actions("take")]
    assert sum(f"{third} is forbidden" in name for name in names) == 1


def test_the_bar_holds_all_of_the_probability_and_u_stands_on_it() -> None:
    one = walk(sampling=Sampling(top_k=30))
    one.act("u", 0.625)
    page = drawn(one)
    widths = [numbers(str(a["style"]))[0] for a in page.styled("lw-seg")]
    assert len(widths) > 3
    assert sum(widths) == pytest.approx(100, abs=0.05)
    assert len(page.styled("lw-hit")) == 1
    (mark,) = page.styled("lw-mark")
    assert mark["style"] == "left:62.50%"
    (slider,) = page.actions("u")
    assert slider["value"] == "0.625"
    assert "u = 0.625 picks" in str(slider["aria-valuetext"])


def test_the_seeds_number_can_be_had_back_only_when_another_one_stands() -> None:
    one = walk()
    (off,) = drawn(one).actions("unroll")
    one.act("u", 0.5)
    (there,) = drawn(one).actions("unroll")
    assert (off.get("aria-disabled"), there.get("aria-disabled")) == ("true", None)


def test_knobs_stand_where_the_settings_are_and_say_off_where_they_are() -> None:
    knobs = Knobs(sampling=Sampling(0.5, 0, 1, 0.25, 1.2), seed=4)
    stand = {
        a["data-name"]: (a["value"], a["aria-valuetext"])
        for a in Reader(sliders(knobs.sampling, knobs.seed)).actions("knob")
    }
    assert stand["temperature"] == ("0.5", "0.50")
    assert (stand["top_k"], stand["top_p"]) == (("0", "off"), ("1", "off"))
    assert (stand["min_p"], stand["seed"]) == (("0.25", "0.25"), ("4", "4"))
    assert [*stand] == [*vars(knobs.sampling), "seed"]


def test_plots_are_told_in_words() -> None:
    one = walk(sampling=Sampling(), seed=7)
    bars, line = plots(now(one), tokenizer())
    first = now(one).rows[0]
    assert f"{100 * first.score.probability:.1f} %" in bars.text
    assert f"u = {now(one).draw.u:.3f}" in line.text


def test_hostile_tokens_are_shown_as_text() -> None:
    one = walk()
    page = Reader(candidates_section(now(one), one.now, Hostile(), can_take=True))
    assert not {tag for tag, _ in page.tags} & {"script", "style"}
    pieces = {Hostile().piece(row.token) for row in now(one).rows}
    assert len(pieces) > 3
    assert all(piece[:30] in page.text for piece in pieces)
    assert "x" * 300 not in page.text
