from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from llm_walkthrough.panel.desk import DELAYS, LIMITS, Desk
from llm_walkthrough.sampling import Sampling


def test_it_begins_with_the_usual_settings_and_at_rest() -> None:
    desk = Desk()
    assert desk.sampling == Sampling()
    assert not desk.running
    assert desk.notice.text == ""
    assert desk.speed in DELAYS
    assert LIMITS[desk.limit] is None


def test_it_never_changes() -> None:
    with pytest.raises(FrozenInstanceError):
        Desk().seed = 3  # type: ignore[misc]


def test_one_speed_can_be_followed_and_one_waits_for_nothing() -> None:
    assert min(DELAYS.values()) == 0
    assert max(DELAYS.values()) == 1000
