from __future__ import annotations

import json

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.step.saved_run import SavedRun, SavedStep, read, written
from llm_walkthrough.sampling import Sampling

USUAL, WARM = Sampling(), Sampling(1.5)
RUN = SavedRun(
    "toy",
    (40, 41),
    (
        SavedStep(5, 0.1 + 0.2, USUAL, 3),
        SavedStep(6, None, WARM, 3),
        SavedStep(7, 0.5, USUAL, 3),
    ),
    "a “text” of\ntokens",
)


def changed(**changes: object) -> str:
    return json.dumps({**json.loads(written(RUN)), **changes})


def test_what_is_written_is_read_again_to_the_last_bit() -> None:
    assert read(written(RUN)) == RUN


def test_settings_that_stay_are_written_once_so_that_the_file_is_small() -> None:
    many = SavedRun("toy", (40,), RUN.steps[:1] * 1000, "text")
    assert len(json.loads(written(many))["settings"]) == 1
    assert len(written(many)) < 40_000
    assert read(written(many)) == many


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is not JSON"),
        ("[1]", 'its "format" is not "llm-walkthrough run, version 1"'),
        (changed(format="another"), 'its "format" is not'),
        (written(RUN)[:-20], "it is not JSON"),
        (changed(steps=None), "it is incomplete"),
        (changed(steps=[[1, 0.5]]), "it is incomplete"),
        (changed(steps=[[1, 0.5, 9]]), "it is incomplete"),
        (changed(steps=[[1.5, 0.5, 0]]), "a whole number was wanted, got 1.5"),
        (changed(steps=[[1, 1.5, 0]]), "u must be at least 0 and below 1, got 1.5"),
        (changed(prompt=["a"]), "a whole number was wanted, got 'a'"),
        (changed(settings=[{"seed": 0, "heat": 3}]), "heat"),
        (changed(settings=[{"seed": -1}]), "seed must be 0 or more, got -1"),
        (changed(settings=[{"seed": 0, "top_p": 7}]), "top-p must be between"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str, reason: str) -> None:
    with pytest.raises(InputError, match="this is not a saved run: ") as refused:
        read(text)
    assert reason in str(refused.value)
    assert str(refused.value).endswith("choose a file that “Save run” has written")
