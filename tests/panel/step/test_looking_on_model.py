"""A look at the real model agrees with the step that was made."""

from __future__ import annotations

import numpy as np
import pytest

from llm_walkthrough.catalogue import find
from llm_walkthrough.inside import Inside
from llm_walkthrough.model import open_model
from llm_walkthrough.panel.step.looking import TAB, Look
from llm_walkthrough.panel.step.page import page
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.tokenizer import open_tokenizer

pytestmark = pytest.mark.model

INT4 = "smollm2-135m-instruct-int4"
QUESTION = {"role": "user", "content": "Give me three tips for better sleep."}


def test_while_steps_are_made_taken_back_and_made_otherwise() -> None:
    model, tokenizer = open_model(find(INT4)), open_tokenizer(find(INT4))
    prompt = tokenizer.encode(tokenizer.chat([QUESTION]))
    one, blind = (Walk(model, tokenizer, prompt, Desk()) for _ in range(2))
    one.act("side", TAB)
    inside = Inside(model)
    for action, value in (
        *((("step", None),) * 6),
        *(("back", 3), ("u", 0.999), ("step", None), ("switch", "A"), ("step", None)),
    ):
        one.act(action, value)
        blind.act(action, value)
        shot, without = one.snapshot(), blind.snapshot()
        look, found = shot.look, shot.distribution
        assert isinstance(look, Look)
        assert found is not None
        assert shot.tokens == without.tokens
        np.testing.assert_array_equal(one.stepper.logits, blind.stepper.logits)
        favourite = found.rows[0]
        assert look.lens[-1] == (favourite.token, favourite.score.probability)
        assert look.weights.shape == (30, 9, len(shot.tokens))
        assert look.weights.sum(axis=-1) == pytest.approx(1, abs=1e-4)
        # the lens of the last layer is what the model says, but for rounding
        run = one.stepper.runs[-1]
        before = one.stepper.cache.truncated(run.stop - 1)
        rows = inside.look(run.tokens[-1:], before).lens()
        assert len(rows) == len(look.lens) == 31
        if len(run.tokens) == 1:
            np.testing.assert_allclose(rows[-1], one.stepper.logits, atol=0.05)
    assert "looked in" in page(one.snapshot(), one.tokenizer)
