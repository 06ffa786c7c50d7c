"""A folder in the shape of Mistral-7B can be inspected, opened and stepped."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.shape import Sizes, write_folder
from llm_walkthrough.answer import load
from llm_walkthrough.preflight import inspect

TINY = Sizes(
    layers=2,
    hidden=64,
    ffn=96,
    vocab=320,
    heads=4,
    kv_heads=2,
    head_dim=16,
    context=128,
)


def test_what_is_written_is_a_decoder_that_runs(tmp_path: Path) -> None:
    shares: list[float] = []
    write_folder(tmp_path, lambda _, share: shares.append(share), TINY)
    assert shares == [0, 0.5, 1]
    card = inspect(tmp_path)
    assert card.faults == []
    model, tokenizer = load(tmp_path, threads=1)
    assert model.graph.can_share_buffers
    assert (model.graph.num_layers, model.vocab) == (2, 320)
    prompt = tokenizer.encode(tokenizer.chat([{"role": "user", "content": "w1"}]))
    assert prompt[0] == 1
    rows, cache = model.run(prompt, model.new_cache())
    again, _ = model.run(prompt[-1:], cache.truncated(len(prompt) - 1))
    np.testing.assert_allclose(again[-1], rows[-1], atol=0.2)  # int4
    assert rows[-1].std() > 0.1  # the random weights neither vanish nor blow up
    assert np.abs(rows).max() < 100


def test_the_true_sizes_make_seven_billion_weights() -> None:
    sizes = Sizes()
    attention = sizes.hidden * sizes.head_dim * 2 * (sizes.heads + sizes.kv_heads)
    layer = attention + 3 * sizes.hidden * sizes.ffn
    ends = 2 * sizes.vocab * sizes.hidden
    assert round((sizes.layers * layer + ends) / 1e9, 2) == 7.24
