"""Readers of what strangers wrote, each with something sound to damage.

A reader makes one case from dice and reads it. Whatever it raises other than the
project's own errors is a fault, and so is a crash, a hang or a flood of memory.
"""

from __future__ import annotations

import json
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tiny_graph
import tiny_tokenizer
from mutation import VALUES, damaged_bytes, damaged_json, damaged_text, json_bytes
from tiny_gguf import write_tiny_gguf

from llm_walkthrough import catalogue
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.conversion.record import trouble
from llm_walkthrough.grammar import json_schema, lark_grammar, regular_expression
from llm_walkthrough.model import open_model
from llm_walkthrough.model_files.chat_template import ChatTemplate
from llm_walkthrough.panel.step import saved_run
from llm_walkthrough.tokenizer import open_tokenizer

MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
]
TEMPLATES = (
    tiny_tokenizer.CHATML,
    "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}"
    "{{ m['role'] | upper }}: {{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}",
    "{% macro one(m) %}{{ m | tojson(indent=2) }}{% endmacro %}{% for m in messages %}"
    "{% if loop.index > 9 %}{% break %}{% endif %}{{ one(m) }}{% endfor %}{{ range(3) }}",
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "pattern": "^[a-z]+$"},
        "minutes": {"type": "integer", "minimum": 1, "maximum": 60},
        "share": {"type": "number", "exclusiveMinimum": 0},
        "poses": {"type": "array", "items": {"enum": ["cat", "cow"]}, "maxItems": 3},
        "next": {"anyOf": [{"type": "null"}, {"$ref": "#"}]},
    },
    "required": ["name", "poses"],
    "additionalProperties": False,
}
PATTERNS = ("(yes|no)+[0-9]{1,3}", "[^a-c]*x?", r"\d+(\.\d+)?", "a{2,4}|(b|c)*d")
LARKS = (
    'start: "a" rest\nrest: /b+/ | "(" start ")"',
    'start: item ("," item)*\nitem: WORD | /[0-9]+/\nWORD: /[a-z]+/\n%ignore " "',
    'start: "x" start | %json {"type": "integer"}',
)


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@cache
def _gguf() -> bytes:
    with _folder() as folder:
        return write_tiny_gguf(folder / "tiny.gguf").read_bytes()


def gguf(dice: random.Random) -> None:
    """Convert a GGUF file; its header is damaged more often than its weights."""
    content = _gguf()
    head = dice.choice((len(content), 3_000))
    damaged = damaged_bytes(content[:head], dice) + content[head:]
    with _folder() as folder:
        (folder / "damaged.gguf").write_bytes(damaged)
        variant = dice.choice(("int4", "float32"))
        convert(folder / "damaged.gguf", folder / "model", variant=variant)


@cache
def _model(layout: str) -> dict[str, bytes]:
    with _folder() as folder:
        tiny_graph.write_model(folder, tiny_graph.LAYOUTS[layout])
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def _run(folder: Path) -> None:
    model = open_model(folder, threads=1)
    cache = model.new_cache(min(8, model.graph.context_length))
    _, cache = model.run(np.array([1, 2, 3]), cache)
    model.run(np.array([1]), cache)
    model.new_cache()


def onnx(dice: random.Random) -> None:
    """Open a damaged graph, and run it."""
    with _folder() as folder:
        for name, content in _model(dice.choice([*tiny_graph.LAYOUTS])).items():
            is_damaged = name.endswith((".onnx", ".data"))
            data = damaged_bytes(content, dice) if is_damaged else content
            (folder / name).write_bytes(data)
        _run(folder)


def config(dice: random.Random) -> None:
    """Open a sound graph beside a damaged configuration."""
    with _folder() as folder:
        for name, content in _model(dice.choice([*tiny_graph.LAYOUTS])).items():
            is_damaged = name.endswith(".json")
            data = json_bytes(json.loads(content), dice) if is_damaged else content
            (folder / name).write_bytes(data)
        _run(folder)


def tokenizer(dice: random.Random) -> None:
    """Open a damaged tokenizer, and use it."""
    style = dice.choice((tiny_tokenizer.byte_level, tiny_tokenizer.sentencepiece))
    with _folder() as folder:
        tiny_tokenizer.write_folder(folder, style(), chat_template=TEMPLATES[0])
        file = folder / dice.choice(("tokenizer.json", "tokenizer_config.json"))
        file.write_bytes(json_bytes(json.loads(file.read_bytes()), dice))
        opened = open_tokenizer(folder)
        ids = opened.encode("the end, 🙂")
        opened.decode(ids, show_special=True)
        for token in range(0, opened.vocab, 1 + opened.vocab // 50):
            opened.piece(token)
        if opened.template:
            opened.chat(MESSAGES)


def template(dice: random.Random) -> None:
    """Write a conversation with a damaged template."""
    program = damaged_text(dice.choice(TEMPLATES), dice)
    ChatTemplate(program, Path("a.jinja"), {"eos_token": "</s>"}).render(MESSAGES)


def grammar(dice: random.Random) -> None:
    """Compile a damaged grammar of each kind."""
    match dice.randrange(4):
        case 0:
            json_schema(damaged_json(SCHEMA, dice))
        case 1:
            json_schema(damaged_text(json.dumps(SCHEMA), dice))
        case 2:
            regular_expression(damaged_text(dice.choice(PATTERNS), dice))
        case _:
            lark_grammar(damaged_text(dice.choice(LARKS), dice))


def run_file(dice: random.Random) -> None:
    """Read a damaged saved run."""
    settings = {"temperature": 0.5, "top_k": 3, "seed": 1}
    record = {
        "format": saved_run.FORMAT,
        "model": "toy",
        "text": "the end",
        "prompt": [1, 2, 3],
        "settings": [settings],
        "steps": [[4, 0.5, 0], [5, None, 0]],
    }
    saved_run.read(json_bytes(record, dice).decode("utf-8", "replace"))


def record(dice: random.Random) -> None:
    """Compare a folder with a damaged record."""
    content = {
        "version": 1,
        "variant": "int4",
        "sha256": {"a": "0" * 64, "b": "1" * 64},
    }
    with _folder() as folder:
        (folder / "a").write_text("a")
        (folder / "conversion.json").write_bytes(json_bytes(content, dice))
        (folder / "verified.json").write_bytes(json_bytes({"a": [1, 2, "x"]}, dice))
        trouble(folder, {"gguf_sha256": "2" * 64})


def models(dice: random.Random) -> None:
    """List the models of a damaged catalogue."""
    text = (catalogue.REPOSITORY_MODELS / catalogue.CATALOGUE).read_text("utf-8")
    with _folder() as folder:
        content = damaged_text(text, dice).encode("utf-8", "replace")
        if dice.random() < 0.3:
            content = damaged_bytes(text.encode(), dice)
        (folder / catalogue.CATALOGUE).write_bytes(content)
        with mock.patch.object(catalogue, "REPOSITORY_MODELS", folder):
            catalogue.choices()
            catalogue.find()


def event(dice: random.Random) -> None:
    """Do on the step panel what no page would ask for."""
    from walking import walk  # noqa: PLC0415 - slow, and for this reader alone

    one = walk()
    for _ in range(dice.randint(1, 12)):
        action = dice.choice([*ACTIONS, "step", "step", "take", "nothing", ""])
        usual = {"token": dice.randrange(300), "position": dice.randrange(12)}
        value = dice.choice((*VALUES, usual, damaged_json(usual, dice), "B", 2, "0.5"))
        one.act(action, value)
        one.snapshot()


ACTIONS = (
    *("back", "step", "run", "stop", "tick", "reset", "limit", "speed", "switch", "u"),
    *("take", "load", "save", "export", "guessing", "large", "roll", "seed", "return"),
    *("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "ask", "tab"),
)
READERS: dict[str, Callable[[random.Random], None]] = {
    one.__name__: one
    for one in (
        *(gguf, onnx, config, tokenizer, template, grammar),
        *(run_file, record, models, event),
    )
}
