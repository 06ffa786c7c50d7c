"""A folder with the true shape of Mistral-7B, and what it costs to inspect and step.

The weights are random: 7.2 billion of them, in 4 bits, laid out as onnxruntime-genai's
model builder lays them out. Nothing is downloaded; 5 GB are written, and deleted when
everything is measured. Knows nothing of what a model has learned.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter as now

import numpy as np
from onnx import TensorProto

from benchmarks import engines
from benchmarks.engines import Ours
from benchmarks.report import Bar, Report, Row, Show, compared
from benchmarks.speed import EngineProcess
from llm_walkthrough.catalogue import models_folder
from llm_walkthrough.conversion.onnx_writer import OnnxWriter
from llm_walkthrough.errors import InputError

BLOCK, INT8_INPUTS = 32, 4
THETA = 1e6  # of the rotary embedding
ROOM = 6e9  # bytes on disk: 5 GB, and some air

BARS = {
    "models inspect": Bar("at most", 2),
    "memory": Bar("at most", 1.3),
    "one step": Bar("at most", 1.01),
}


@dataclass(frozen=True)
class Sizes:
    """What makes up the shape of a decoder; the defaults are Mistral-7B's."""

    layers: int = 32
    hidden: int = 4096
    ffn: int = 14336
    vocab: int = 32_000
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    context: int = 32_768


def measure(
    path: Path, show: Show, rounds: int = 5, threads: int | None = None
) -> Report:
    """Write the folder, measure it, delete it; takes several minutes.

    `path` is not used; there must be room on the disk.
    """
    del path
    home = models_folder()
    if shutil.disk_usage(home).free < ROOM:
        raise InputError(f"{home} needs {ROOM / 1e9:.0f} GB of free disk; make room")
    threads = threads or engines.one_per_core()
    with tempfile.TemporaryDirectory(dir=home, prefix="mistral-shape-") as name:
        folder = Path(name)
        write_folder(folder, show)
        size = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        inspecting = [time_inspection(folder) for _ in range(rounds)]
        show("opening", 0)
        prompt = np.arange(100, 164)
        with EngineProcess(Ours, folder, threads) as process:
            loaded, _ = process.measure(engines.measure_memory, prompt)
            steps = []
            for done in range(rounds):
                show("stepping", done / rounds)
                steps.append(process.measure(engines.time_bare_run, prompt, 8))
            show("stepping", 1)
    unit = f"MB {engines.memory_kind().upper()}"
    rows = (
        Row("models inspect", "s", median(inspecting), BARS["models inspect"]),
        compared("memory", unit, "its files", [(loaded, size)], BARS["memory"]),
        compared("one step", "ms", "its bare run", steps, BARS["one step"]),
    )
    title = f"the shape of Mistral-7B, threads: {threads}, rounds: {rounds}"
    return Report(title, rows)


def time_inspection(folder: Path) -> float:
    """Return the seconds that the command takes, from its start to its end.

    Raises:
        InputError: it says that the model cannot run.
    """
    module = "llm_walkthrough.command_line.cli"
    command = [sys.executable, "-m", module, "models", "inspect", str(folder)]
    began = now()
    done = subprocess.run(  # noqa: S603 - our own command line
        command, check=False, capture_output=True, text=True
    )
    seconds = now() - began
    if done.returncode:
        raise InputError(
            f"models inspect refuses {folder}: {done.stderr or done.stdout}"
        )
    return seconds


# --- the folder -----------------------------------------------------------------------


def write_folder(folder: Path, show: Show, sizes: Sizes = Sizes()) -> None:
    """Write graph, weights, configuration and a tokenizer with as many tokens.

    One matrix at a time is in memory.
    """
    with OnnxWriter(folder) as onnx:
        Shape(onnx, sizes).write(show)
        onnx.save()
    for name, content in _small_files(sizes):
        (folder / name).write_text(json.dumps(content, indent=2), encoding="utf-8")


class Shape:
    """Writes the nodes of the decoder, as the model builder names and orders them."""

    def __init__(self, onnx: OnnxWriter, sizes: Sizes) -> None:
        self._onnx, self._sizes = onnx, sizes
        self._random = np.random.default_rng(0)

    def write(self, show: Show) -> None:
        """Write everything from `input_ids` to `logits`."""
        layers = self._sizes.layers
        self._ports()
        self._lengths()
        turns = THETA ** (
            -2 * np.arange(self._sizes.head_dim // 2) / self._sizes.head_dim
        )
        angles = np.outer(np.arange(self._sizes.context), turns)
        for name, values in (
            ("cos_cache", np.cos(angles)),
            ("sin_cache", np.sin(angles)),
        ):
            self._onnx.weight(name, values.astype(np.float32))
        stream, change = self._embed(), ""
        for layer in range(layers):
            show("writing 5 GB", layer / layers)
            stream, change = self._layer(f"/model/layers.{layer}", stream, change)
        normed, _ = self._norm(f"/model/layers.{layers}/final_norm", stream, change)
        self._linear(
            "/lm_head", normed, self._sizes.hidden, self._sizes.vocab, ["logits"]
        )
        show("writing 5 GB", 1)

    def _ports(self) -> None:
        onnx, number = self._onnx, TensorProto.FLOAT
        onnx.input("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"])
        mask = ["batch_size", "total_sequence_length"]
        onnx.input("attention_mask", TensorProto.INT64, mask)
        onnx.output(
            "logits", number, ["batch_size", "sequence_length", self._sizes.vocab]
        )
        for layer in range(self._sizes.layers):
            for part in ("key", "value"):
                for declare, port, length in (
                    (onnx.input, "past_key_values", "past_sequence_length"),
                    (onnx.output, "present", "total_sequence_length"),
                ):
                    axes: list[int | str] = [
                        "batch_size",
                        self._sizes.kv_heads,
                        length,
                        self._sizes.head_dim,
                    ]
                    declare(f"{port}.{layer}.{part}", number, axes)

    def _lengths(self) -> None:
        onnx, base, mask = self._onnx, "/model/attn_mask_reformat", "attention_mask"
        onnx.constant("one", np.array([1]))
        onnx.constant("width_axis", np.array(1))
        ones = onnx.node("ReduceSum", [mask, "one"], f"{base}/ReduceSum", keepdims=0)
        last = onnx.node("Sub", [ones, "one"], f"{base}/Sub")
        dims = onnx.node("Shape", [mask], f"{base}/Shape")
        width = onnx.node("Gather", [dims, "width_axis"], f"{base}/Gather", axis=0)
        for wide, name in ((last, "seqlens_k"), (width, "total_sequence_length")):
            onnx.node(
                "Cast", [wide], f"{base}/{name}/Cast", [name], to=TensorProto.INT32
            )

    def _embed(self) -> str:
        rows = self._random.standard_normal(
            (self._sizes.vocab, self._sizes.hidden), np.float32
        )
        weight = self._onnx.weight("model.embed_tokens.weight", rows)
        return self._onnx.node(
            "Gather", [weight, "input_ids"], "/model/embed_tokens/Gather"
        )

    def _layer(self, name: str, stream: str, change: str) -> tuple[str, str]:
        onnx, layer = self._onnx, name.rpartition(".")[2]
        normed, stream = self._norm(f"{name}/input_layernorm", stream, change)
        packed = (self._sizes.heads + 2 * self._sizes.kv_heads) * self._sizes.head_dim
        qkv = self._linear(f"{name}/attn/qkv_proj", normed, self._sizes.hidden, packed)
        ports = [f"{layer}.{part}" for part in ("key", "value")]
        attended = onnx.node(
            "GroupQueryAttention",
            [
                *(qkv, "", ""),
                *(f"past_key_values.{port}" for port in ports),
                *("seqlens_k", "total_sequence_length", "cos_cache", "sin_cache"),
            ],
            f"{name}/attn/GroupQueryAttention",
            [f"{name}/attn/output_0", *(f"present.{port}" for port in ports)],
            num_heads=self._sizes.heads,
            kv_num_heads=self._sizes.kv_heads,
            scale=self._sizes.head_dim**-0.5,
            do_rotary=1,
        )
        wide = self._sizes.heads * self._sizes.head_dim
        change = self._linear(f"{name}/attn/o_proj", attended, wide, self._sizes.hidden)
        normed, stream = self._norm(f"{name}/post_attention_layernorm", stream, change)
        gate = self._linear(
            f"{name}/mlp/gate_proj", normed, self._sizes.hidden, self._sizes.ffn
        )
        up = self._linear(
            f"{name}/mlp/up_proj", normed, self._sizes.hidden, self._sizes.ffn
        )
        sigmoid = onnx.node("Sigmoid", [gate], f"{name}/mlp/act_fn/Sigmoid")
        silu = onnx.node("Mul", [gate, sigmoid], f"{name}/mlp/act_fn/Mul")
        mixed = onnx.node("Mul", [silu, up], f"{name}/mlp/Mul")
        return stream, self._linear(
            f"{name}/mlp/down_proj", mixed, self._sizes.ffn, self._sizes.hidden
        )

    def _norm(self, name: str, stream: str, change: str) -> tuple[str, str]:
        onnx, operator = self._onnx, "SimplifiedLayerNormalization"
        weight = onnx.weight(f"{name}.weight", np.ones(self._sizes.hidden, np.float32))
        if not change:
            inputs, node = [stream, weight], f"{name}/LayerNorm"
            return onnx.node(operator, inputs, node, axis=-1, epsilon=1e-5), stream
        inputs, node = [stream, change, weight], f"{name}/SkipLayerNorm"
        outputs = [f"{name}/output_0", "", "", f"{name}/output_3"]
        onnx.node(f"Skip{operator}", inputs, node, outputs, epsilon=1e-5)
        return outputs[0], outputs[3]

    def _linear(
        self, name: str, vectors: str, wide: int, rows: int, outputs: Sequence[str] = ()
    ) -> str:
        """Multiply by random codes, scaled so that vectors keep their size."""
        blocks = wide // BLOCK
        codes = self._random.integers(0, 256, (rows, blocks, BLOCK // 2), np.uint8)
        # a code less 8 has a variance of 21.5
        scales = np.full((rows, blocks), (21.5 * wide) ** -0.5, np.float32)
        weights = [
            self._onnx.weight(f"{name}.weight_Q4", codes),
            self._onnx.weight(f"{name}.weight_scales", scales),
        ]
        return self._onnx.node(
            "MatMulNBits",
            [vectors, *weights],
            f"{name}/MatMul_Q4",
            outputs,
            K=wide,
            N=rows,
            accuracy_level=INT8_INPUTS,
            bits=4,
            block_size=BLOCK,
        )


def _small_files(sizes: Sizes) -> Iterator[tuple[str, object]]:
    yield (
        "genai_config.json",
        {
            "model": {
                "bos_token_id": 1,
                "context_length": sizes.context,
                "decoder": {
                    "filename": "model.onnx",
                    "head_size": sizes.head_dim,
                    "hidden_size": sizes.hidden,
                    "inputs": {
                        "input_ids": "input_ids",
                        "attention_mask": "attention_mask",
                        "past_key_names": "past_key_values.%d.key",
                        "past_value_names": "past_key_values.%d.value",
                    },
                    "outputs": {
                        "logits": "logits",
                        "present_key_names": "present.%d.key",
                        "present_value_names": "present.%d.value",
                    },
                    "num_attention_heads": sizes.heads,
                    "num_hidden_layers": sizes.layers,
                    "num_key_value_heads": sizes.kv_heads,
                },
                "eos_token_id": 2,
                "type": "mistral",
                "vocab_size": sizes.vocab,
            },
            "search": {"max_length": sizes.context, "past_present_share_buffer": True},
        },
    )
    special = ["<unk>", "<s>", "</s>"]
    pieces = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces += [f"\u2581w{i}" for i in range(sizes.vocab - len(pieces))]
    flags = {
        "lstrip": False,
        "normalized": False,
        "rstrip": False,
        "single_word": False,
    }
    yield (
        "tokenizer.json",
        {
            "version": "1.0",
            "added_tokens": [
                {"id": i, "content": text, "special": True, **flags}
                for i, text in enumerate(special)
            ],
            "normalizer": {
                "type": "Replace",
                "pattern": {"String": " "},
                "content": "\u2581",
            },
            "decoder": {"type": "ByteFallback"},
            "model": {
                "type": "BPE",
                "unk_token": "<unk>",
                "byte_fallback": True,
                "vocab": {piece: i for i, piece in enumerate(pieces)},
                "merges": [],
            },
        },
    )
    yield (
        "tokenizer_config.json",
        {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "chat_template": "{{ bos_token }}{% for message in messages %}"
            "[INST] {{ message['content'] }} [/INST]{% endfor %}",
        },
    )
