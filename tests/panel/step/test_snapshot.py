from __future__ import annotations

import pytest
from toy_model import TOYS, ToyModel
from walking import PROMPT, toy

from llm_walkthrough.panel.watched import cache_facts


@pytest.mark.parametrize("kind", TOYS)
def test_the_facts_are_read_off_the_arrays(kind: type[ToyModel]) -> None:
    model = toy(kind, capacity=50)
    _, cache = model.run(PROMPT, model.new_cache())
    facts = cache_facts(cache)
    assert (facts.length, facts.capacity) == (5, 50)
    assert (facts.layers, facts.kv_heads, facts.head_dim) == (2, 2, 2)
    assert facts.length * facts.row_bytes == cache.nbytes
