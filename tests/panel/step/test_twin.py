from __future__ import annotations

import re

from walking import Reader, now, steps, tokenizer, walk

from llm_walkthrough.panel.page_candidates import plots, settings
from llm_walkthrough.panel.step.twin import twin
from llm_walkthrough.sampling import Sampling

KEPT = {"div", "b", "i", "span", "figure", "img"}
"""What a page of a notebook that is not trusted leaves in place, of what we use."""


def test_it_needs_no_style_sheet_and_no_script() -> None:
    one = walk()
    steps(one, 3)
    shown, _ = twin(one.snapshot(), tokenizer())
    assert {tag for tag, _ in Reader(shown).tags} <= KEPT
    assert "var(" not in shown
    assert "class=" not in shown


def test_it_tells_where_the_panel_stands_also_in_words() -> None:
    one = walk()
    steps(one, 3)
    shown, words = twin(one.snapshot(), tokenizer())
    assert "Step panel: toy, step 3, context 8 of 400" in Reader(shown).text
    assert words.startswith("Step panel: toy, step 3, context 8 of 400")
    drawn = tokenizer().piece(now(one).draw.token)
    assert f"u = {now(one).draw.u:.3f} picks {drawn}" in words


def test_it_is_the_same_each_time_and_small() -> None:
    one, two = walk(), walk()
    steps(one, 3)
    steps(two, 3)
    first = twin(one.snapshot(), tokenizer())
    assert first == twin(two.snapshot(), tokenizer())
    assert sum(map(len, first)) < 60_000
    assert "0x" not in re.sub(r"&lt;0x\w\w&gt;|<0x\w\w>", "", first[1])


def test_where_nothing_can_come_next_there_is_no_picture_of_it() -> None:
    shot = walk().snapshot()
    shown, _ = twin(shot.__class__(**{**vars(shot), "distribution": None}), tokenizer())
    assert "<img" not in shown


def test_the_plots_show_the_shares_after_processing() -> None:
    one = walk(sampling=Sampling())
    bars, line = plots(now(one), tokenizer())
    first = now(one).rows[0]
    assert f"{100 * first.score.probability:.1f} %" in bars.text
    assert f"u = {now(one).draw.u:.3f}" in line.text


def test_settings_are_named_with_the_seed() -> None:
    assert settings(Sampling().processors(), 7) == (
        "penalty 1.10, ÷ T 0.80, top-k 40, top-p 0.90, seed 7"
    )
