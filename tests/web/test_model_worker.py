"""The worker that holds the model: its runs are those of the package, and it forgets.

The runs are compared on a small model with the real engine; what an engine might do
one day is played.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_panel import FakeSite, fake_site, write_model
from playwright.sync_api import Browser
from tiny_gguf import write_tiny_gguf

from llm_walkthrough.catalogue import fetch_gguf, find
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.errors import InputError
from llm_walkthrough.model import open_model
from tools.build_site.panel import write_list, write_parts
from tools.build_site.recipe import recipe

pytestmark = pytest.mark.browser

FLOAT32 = "smollm2-135m-instruct-float32"
ASK = """async ([script, calls]) => {
  const comlink = await import(new URL("parts/comlink/comlink.min.mjs", script));
  window.model ??= comlink.wrap(new Worker(script, { type: "module" }));
  const answers = [];
  for (const [call, value] of calls) {
    const told = comlink.proxy(() => {});
    const { logits, ...rest } = (await model[call](value, told)) ?? {};
    answers.push({ ...rest, logits: logits && [...logits] });
  }
  return answers;
}"""
Call = tuple[str, object]
Ask = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[FakeSite]:
    with fake_site(tmp_path / "site") as site:
        yield site


@pytest.fixture
def ask(chromium: Browser, site: FakeSite) -> Iterator[Ask]:
    """Send calls to the worker in a page, and return all answers."""
    page = chromium.new_page()
    page.goto(f"{site.url}panel/walk.html")
    worker = f"{site.url}panel/model_worker.js"
    yield lambda *calls: page.evaluate(ASK, [worker, calls])
    page.close()


def opened(site: FakeSite, ask: Ask) -> list[str]:
    """Let the worker open the model; returns the names of the weights, as asked for."""
    listed = json.loads((site.folder / "panel/parts.json").read_text("utf-8"))
    (answer,) = ask(("open", listed["parts"]))
    return list(answer["asked"])


def run(tokens: list[int], before: int = 0, length: int = 0) -> Call:
    return ("run", {"tokens": tokens, "id": before, "length": length})


def put_model(site: FakeSite, gguf_file: Path, folder: Path) -> None:
    """Put a float32 model and the real engine in the place of what plays them."""
    try:
        write_parts(site.folder)
    except InputError as error:
        pytest.skip(str(error))
    panel = site.folder / "panel"
    for name, file in {
        "model.onnx": folder / "model.onnx",
        "weights.gguf": gguf_file,
    }.items():
        (panel / "model" / name).unlink()
        (panel / "model" / name).symlink_to(file)
    made = json.dumps([*recipe(gguf_file, folder / "model.onnx")])
    (panel / "model/recipe.json").write_text(made, "utf-8")
    write_list(panel)


def test_the_real_engine_gives_the_rows_of_the_package_with_and_without_a_past(
    site: FakeSite, ask: Ask, tmp_path: Path
) -> None:
    gguf_file = write_tiny_gguf(tmp_path / "tiny.gguf")
    folder = tmp_path / "tiny-float32"
    convert(gguf_file, folder, variant="float32")
    put_model(site, gguf_file, folder)
    asked = opened(site, ask)
    assert len(asked) == len({*asked}) == 11  # once each

    model = open_model(folder)
    tokens = np.random.default_rng(2).integers(0, model.vocab, 100)
    rows, _ = model.run(tokens, model.new_cache())
    whole, first = ask(run(tokens.tolist()), run(tokens[:40].tolist()))
    close(whole, rows)
    close(first, rows[:40])
    one, more = ask(run([int(tokens[40])], 2, 40), run(tokens[30:].tolist(), 2, 30))
    close(one, rows[40:41])
    close(more, rows[30:])


def close(answer: dict[str, Any], rows: np.ndarray) -> None:
    found = np.asarray(answer["logits"], np.float32).reshape(rows.shape)
    np.testing.assert_allclose(found, rows, atol=2e-4)


@pytest.mark.model
def test_the_real_engine_asks_for_each_weight_of_the_model_once(
    site: FakeSite, ask: Ask
) -> None:
    put_model(site, fetch_gguf("smollm2-float32"), find(FLOAT32))
    asked = opened(site, ask)
    assert len(asked) == len({*asked}) == 123


def test_a_run_in_pieces_and_one_on_a_past_give_the_rows_of_one_run(
    site: FakeSite, ask: Ask
) -> None:
    opened(site, ask)
    tokens = [*range(3, 153)]
    whole, first = ask(run(tokens), run(tokens[:40]))
    (rest,) = ask(run(tokens[40:], first["id"], 40))
    rows = [whole["logits"][at : at + 4] for at in range(0, 4 * len(tokens), 4)]
    assert [row[0] for row in rows[40:]] == rest["logits"][::4]
    assert len({row[0] for row in rows}) > 140  # each tells its own context


def test_going_back_branching_and_freeing_leave_the_other_runs_as_they_are(
    site: FakeSite, ask: Ask
) -> None:
    opened(site, ask)
    (whole,) = ask(run([5, 6, 7, 8, 9]))
    first, second = ask(run([5, 6, 7]), run([8], 2, 3))
    (other,) = ask(run([4], first["id"], 2))  # two tokens of three
    ask(("free", first["id"]))
    (third,) = ask(run([9], second["id"], 4))
    assert third["logits"][0] == whole["logits"][16]
    (straight,) = ask(run([5, 6, 4]))
    assert other["logits"][0] == straight["logits"][8]


@pytest.mark.parametrize(
    "ranges",
    [
        [(0, 256), (4096, 4352)],  # each weight once, as onnxruntime-web does it
        [(0, 4352)],  # the whole file at once
        [(0, 128), (128, 256), (4096, 4352)],
        [(0, 256)],  # and the other one in a way of its own
    ],
)
def test_an_engine_gets_the_right_weights_however_it_asks(
    ranges: list[tuple[int, int]],
    site: FakeSite,
    ask: Ask,
) -> None:
    weights = write_model(site.folder / "panel", ranges)
    opened(site, ask)
    (answer,) = ask(run([5]))
    assert answer["logits"][1] == sum(sum(weights[begin:end]) for begin, end in ranges)
