"""What both small panels do that decode."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_model import SharedToy
from walking import PROMPT, tokenizer, toy

from llm_walkthrough.arrays import LogitsRows, TokenIds
from llm_walkthrough.errors import InputError
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.small import feeding, race

Decoding = type[feeding.Feeding] | type[race.Race]


class Failing(SharedToy):
    """Fails at the run of this number, once."""

    fails_at = 0

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.num_runs + 1 == self.fails_at:
            self.fails_at = 0
            raise RuntimeError("out of memory")
        return super().run(unseen, cache)


BOTH = pytest.mark.parametrize("decoding", [feeding.Feeding, race.Race])


@BOTH
@pytest.mark.parametrize("fails_at", [2, 3, 4])
def test_a_run_that_fails_is_said_and_can_be_made_again(
    decoding: Decoding, fails_at: int
) -> None:
    model = Failing(tokenizer().vocab)
    model.fails_at = fails_at
    one, unbroken = decoding(model, PROMPT), decoding(toy(), PROMPT)
    num_problems = 0
    while one.now.cache.length < len(PROMPT) + 3:
        before = one.now
        one.act("step")
        if one.now.notice.kind == "problem":
            num_problems += 1
            assert one.now.notice.text.startswith("RuntimeError: out of memory")
            assert replace(one.now, notice=before.notice) == before
    assert num_problems == 1
    while unbroken.now.cache.length < len(PROMPT) + 3:
        unbroken.do("step")
    for name, array in one.now.cache.arrays().items():  # each row tells of its token
        np.testing.assert_array_equal(array, unbroken.now.cache.arrays()[name])


@BOTH
def test_a_full_context_and_an_empty_prompt_are_refused(decoding: Decoding) -> None:
    one = decoding(toy(capacity=6), PROMPT)
    while one.now.cache.length < 6:
        one.do("step")
    with pytest.raises(InputError, match="the context is full: the model reads 6"):
        one.do("step")
    with pytest.raises(InputError, match="the prompt is empty"):
        decoding(toy(), PROMPT[:0])
