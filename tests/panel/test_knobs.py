from __future__ import annotations

from dataclasses import replace

import pytest

from llm_walkthrough.errors import InputError
from llm_walkthrough.panel.knobs import Knobs, turned
from llm_walkthrough.sampling import Sampling


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
