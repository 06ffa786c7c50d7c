from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import gguf
import numpy as np
import onnx
import pytest
from numpy_forward import NumpyModel
from one_run import OneRun
from tiny_gguf import write_tiny_gguf
from tokenizers import Tokenizer

from llm_walkthrough.catalogue import fetch_gguf, find
from llm_walkthrough.command_line import cli
from llm_walkthrough.conversion import record
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.conversion.record import is_whole, sha256, trouble
from llm_walkthrough.errors import InputError
from llm_walkthrough.machine import storage

TEXTS = [
    "The quick brown fox jumps over the lazy dog, and then",
    "It was the best of times, it was the worst of times, it was the age of",
    "In 1969, Apollo 11 landed on the Moon. The first person to walk on it was",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "SELECT name, price FROM products WHERE price > 100 ORDER BY",
    "<html><head><title>Welcome</title></head><body><h1>",
    "Le chat est assis sur la table et regarde",
    "Die Katze sitzt auf dem Tisch und wartet auf",
    "El perro corre por el parque y después",
    "日本語の文章を書くことは",
    "1, 1, 2, 3, 5, 8, 13, 21, 34,",
    "12 * 12 = 144, 13 * 13 = 169, 14 * 14 =",
]
QUESTIONS = [
    "Give me a short yoga routine for lower back pain.",
    "What is the capital of France?",
    "Write a haiku about autumn.",
    "Explain gravity to a five-year-old.",
    "Write a Python function that reverses a list.",
    "Translate 'good morning' into Spanish.",
    "List three prime numbers above 50.",
    "Who wrote Pride and Prejudice?",
    "How do I boil an egg?",
    "Was ist der höchste Berg der Welt?",
    "Summarise: The cat sat on the mat. It was warm. It slept.",
    "😀 What does this emoji mean?",
]
PROMPTS = TEXTS + [
    f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    for question in QUESTIONS
]


def prompts() -> list[np.ndarray]:
    folder = find("smollm2-135m-instruct-int4")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [np.array(tokenizer.encode(prompt).ids) for prompt in PROMPTS]


@cache
def exact_logits() -> list[np.ndarray]:
    model = NumpyModel(fetch_gguf("smollm2-135m-instruct"))
    return [model.logits(tokens) for tokens in prompts()]


def mean_kl(exact: list[np.ndarray], found: list[np.ndarray]) -> float:
    """Mean over prompts of the mean over positions, in nats."""

    def logs(logits: np.ndarray) -> np.ndarray:
        return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)

    kls = []
    for wide, narrow in zip(exact, found, strict=True):
        p, q = (logs(logits.astype(np.float64)) for logits in (wide, narrow))
        kls.append((np.exp(p) * (p - q)).sum(axis=-1).mean())
    return float(np.mean(kls))


@pytest.mark.model
def test_both_variants_compute_the_exact_distributions_or_stay_near() -> None:
    """int4 rounds the inputs of its big matrices to 8 bits, float32 nothing."""
    for variant, most in (("int4", 0.015), ("float32", 1e-6)):
        model = OneRun(find(f"smollm2-135m-instruct-{variant}"))
        found = [model.logits(tokens[None])[0] for tokens in prompts()]
        assert mean_kl(exact_logits(), found) <= most
    both = zip(exact_logits(), found, strict=True)
    assert max(np.abs(exact - now).max() for exact, now in both) <= 1e-3


class Weights:
    """The weights of a converted folder, by the names in its graph."""

    def __init__(self, folder: Path) -> None:
        model = onnx.load(folder / "model.onnx")
        self._found = {w.name: w for w in model.graph.initializer}

    def __getitem__(self, name: str) -> np.ndarray:
        values: np.ndarray = onnx.numpy_helper.to_array(self._found[name])
        return values

    def q4(self, name: str) -> np.ndarray:
        """What MatMulNBits and the block offsets multiply with, taken together."""
        codes, scales = self[f"{name}/codes"], self[f"{name}/scales"][..., None]
        signed = np.stack([codes & 15, codes >> 4], axis=-1).astype(np.float64) - 8
        signed = signed.reshape(*scales.shape[:2], 32)
        offsets = self[f"{name}/block_offsets"][..., None]
        weights: np.ndarray = signed * scales + offsets
        return weights.reshape(len(codes), -1)

    def q8(self, name: str) -> np.ndarray:
        scales = self[f"{name}/scales"]
        codes = self[f"{name}/codes"].reshape(*scales.shape, 32)
        weights: np.ndarray = (codes.astype(np.float32) - 128) * scales[..., None]
        return weights.reshape(len(codes), -1)


STACKED = {
    "attn/qkv_proj": ["attn_q", "attn_k", "attn_v"],
    "attn/o_proj": ["attn_output"],
    "mlp/gate_up_proj": ["ffn_gate", "ffn_up"],
    "mlp/down_proj": ["ffn_down"],
}


def original_rows(tensor: gguf.ReaderTensor, head_dim: int) -> np.ndarray:
    """Weights of the file; queries and keys without the interleaving of GGUF."""
    rows = gguf.dequantize(tensor.data, tensor.tensor_type)
    if tensor.name.endswith(("attn_q.weight", "attn_k.weight")):
        place = np.arange(len(rows)).reshape(-1, head_dim)
        rows = rows[np.hstack([place[:, 0::2], place[:, 1::2]]).ravel()]
    return rows


@pytest.mark.model
def test_no_bit_of_any_weight_is_lost() -> None:
    weights = Weights(find("smollm2-135m-instruct-int4"))
    reader = gguf.GGUFReader(fetch_gguf("smollm2-135m-instruct"))
    stored = {tensor.name: tensor for tensor in reader.tensors}
    for layer in range(30):
        for name, parts in STACKED.items():
            exact = np.concatenate(
                [original_rows(stored[f"blk.{layer}.{p}.weight"], 64) for p in parts]
            )
            found = weights.q4(f"/model/layers.{layer}/{name}")
            np.testing.assert_array_equal(found, exact)
    exact = original_rows(stored["token_embd.weight"], 64)
    np.testing.assert_array_equal(weights.q8("/model/embed_tokens"), exact)


@pytest.mark.model
@pytest.mark.parametrize(("variant", "margin"), [("int4", 1.0), ("float32", 0.01)])
def test_genai_opens_the_folder_and_finds_the_same_greedy_tokens(
    variant: str, margin: float
) -> None:
    folder = find(f"smollm2-135m-instruct-{variant}")
    asked = [prompts()[place].tolist() for place in (0, 6, 12, 13, 16)]
    script = Path(__file__).parents[1] / "genai_greedy.py"
    answer = subprocess.run(
        [sys.executable, script, folder],
        input=json.dumps({"prompts": asked, "new_tokens": 20}),
        capture_output=True,
        text=True,
        check=True,
    )
    model, checked = OneRun(folder), 0
    for prompt, new in zip(asked, json.loads(answer.stdout), strict=True):
        logits = model.logits(np.array([prompt + new]))[0, len(prompt) - 1 : -1]
        ordered = np.sort(logits, axis=-1)
        clear = ordered[:, -1] - ordered[:, -2] >= margin
        checked += clear.sum()
        likeliest = logits.argmax(axis=-1)
        np.testing.assert_array_equal(likeliest[clear], np.array(new)[clear])
    assert checked >= 30


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_tiny_gguf(tmp_path / "tiny.gguf")


def test_a_whole_folder_is_known_by_its_source_and_its_hashes(
    tiny: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    convert(tiny, folder, variant="int4")
    assert is_whole(folder, gguf_sha256=sha256(tiny))
    assert not is_whole(folder, gguf_sha256="0" * 64)
    for file in (
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "genai_config.json",
    ):
        content = (folder / file).read_bytes()
        for damaged in (content[:-1], content[:-1] + bytes([content[-1] ^ 1])):
            (folder / file).write_bytes(damaged)
            assert trouble(folder) == f"{file} is damaged"
        (folder / file).write_bytes(content)
        assert is_whole(folder)
        (folder / file).rename(tmp_path / file)
        assert trouble(folder) == f"{file} is missing"
        (tmp_path / file).rename(folder / file)


def test_a_hash_is_worked_out_once_for_each_size_and_time(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "model"
    convert(tiny, folder, variant="int4")
    read: list[str] = []

    def noted(file: Path) -> str:
        read.append(file.name)
        return sha256(file)

    monkeypatch.setattr(record, "sha256", noted)
    assert is_whole(folder)
    assert read == []
    weights = folder / "model.onnx.data"
    before = weights.stat()
    content = bytearray(weights.read_bytes())
    content[5_000] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert is_whole(folder)  # nothing tells but the content
    assert trouble(folder, anew=True) == "model.onnx.data is damaged"
    os.utime(weights)
    read.clear()
    assert trouble(folder) == "model.onnx.data is damaged"
    assert read == ["model.onnx.data"]


@pytest.mark.parametrize(
    "content", ["[]", "[" * 100_000, '{"version": 1}', "{", "null"]
)
def test_a_damaged_record_is_told_as_such(
    tiny: Path, tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "model"
    convert(tiny, folder, variant="int4")
    (folder / "conversion.json").write_text(content)
    assert "conversion.json is of no use" in trouble(folder)
    convert(tiny, folder, variant="int4")
    (folder / "verified.json").write_text(content)
    assert trouble(folder) == ""


@pytest.mark.parametrize("name", ["conversion.json", "verified.json"])
def test_a_pipe_in_place_of_a_note_is_not_waited_for(
    tiny: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "model"
    convert(tiny, folder, variant="int4")
    (folder / name).unlink()
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    assert ("of no use" in trouble(folder)) is (name == "conversion.json")


def test_an_earlier_conversion_is_replaced(tiny: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    convert(tiny, folder, variant="float32")
    convert(tiny, folder, variant="int4")
    record = json.loads((folder / "conversion.json").read_text("utf-8"))
    assert record["variant"] == "int4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tiny.gguf"]


def test_a_folder_that_no_conversion_made_is_never_replaced(
    tiny: Path, tmp_path: Path
) -> None:
    notes = tmp_path / "model" / "notes.txt"
    notes.parent.mkdir()
    notes.write_text("mine")
    with pytest.raises(InputError, match="no conversion made it"):
        convert(tiny, tmp_path / "model", variant="int4")
    assert notes.read_text() == "mine"


def test_progress_rises_to_one(tiny: Path, tmp_path: Path) -> None:
    shares: list[float] = []
    convert(tiny, tmp_path / "model", variant="int4", progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_disk_without_room_is_told_before_anything_is_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "free_disk", lambda _: 100_000)
    with pytest.raises(InputError, match=r"model will take 0 MB, .* only 0 MB free"):
        convert(tiny, tmp_path / "model", variant="float32")
    convert(tiny, tmp_path / "model", variant="int4")  # which takes less
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "tiny.gguf"]


def test_the_bytes_that_are_asked_for_are_those_that_are_written(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(storage, "require_room", lambda _, size: asked.append(size))
    for variant in ("int4", "float32"):
        convert(tiny, tmp_path / "model", variant=variant)
    written = (tmp_path / "model" / "model.onnx.data").stat().st_size
    assert asked[0] < asked[1] <= written <= 1.2 * asked[1]


def test_the_command_converts_a_file_and_writes_its_folder(
    tiny: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLM_WALKTHROUGH_MODELS", str(tmp_path / "models"))
    command = ["models", "convert", str(tiny)]
    assert cli.main(command) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'models' / 'tiny-int4'}\n"
    assert "converting tiny.gguf to int4: 100 %" in told.err
    assert cli.main([*command, str(tmp_path / "mine"), "--variant", "float32"]) == 0
    assert is_whole(tmp_path / "mine", variant="float32")
    assert is_whole(tmp_path / "models" / "tiny-int4", variant="int4")
