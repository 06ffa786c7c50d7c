"""The weights that the page makes are those of the conversion, byte for byte."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from gguf.constants import GGMLQuantizationType
from tiny_gguf import write_tiny_gguf

from llm_walkthrough.catalogue import fetch_gguf, find
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.conversion.record import sha256
from tools.build_site.recipe import recipe

WEB = Path(__file__).resolve().parents[2] / "web"
FLOAT32 = "smollm2-135m-instruct-float32"
Q8_0 = GGMLQuantizationType.Q8_0


def made_by_page(gguf_file: Path, folder: Path, scratch: Path) -> dict[str, Any]:
    """Let Node.js make all weights of a float32 folder, as web/weights.js does it."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the PATH, which runs web/weights.js: install Node.js")
    listed = scratch / "recipe.json"
    listed.write_text(json.dumps([*recipe(gguf_file, folder / "model.onnx")]), "utf-8")
    script = Path(__file__).with_name("all_weights.mjs")
    done = subprocess.run(
        [node, script, WEB / "weights.js", gguf_file, listed],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@pytest.mark.model
def test_all_weights_of_the_model_are_those_of_the_notebooks(tmp_path: Path) -> None:
    data = find(FLOAT32) / "model.onnx.data"
    made = made_by_page(fetch_gguf("smollm2-float32"), data.parent, tmp_path)
    assert len(made["asked"]) == 123
    assert made["isTaken"]
    assert (made["bytes"], made["sha256"]) == (data.stat().st_size, sha256(data))


@pytest.mark.parametrize("kinds", [{}, {"blk.1.ffn_down": Q8_0, "blk.0.attn_q": Q8_0}])
def test_weights_of_any_mixture_are_those_of_the_conversion(
    kinds: dict[str, GGMLQuantizationType], tmp_path: Path
) -> None:
    gguf_file = write_tiny_gguf(tmp_path / "tiny.gguf", kinds=kinds)
    folder = tmp_path / "tiny-float32"
    convert(gguf_file, folder, variant="float32")
    made = made_by_page(gguf_file, folder, tmp_path)
    assert made["sha256"] == sha256(folder / "model.onnx.data")
