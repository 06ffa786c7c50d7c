"""Readers of what strangers wrote, each with something sound to damage.

A reader makes one case from dice and reads it. Whatever it raises but `ERRORS` is a
fault, and so is a crash, a hang or a flood of memory.
"""

from __future__ import annotations

import http.client
import json
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import onnx
import tiny_graph
import tiny_tokenizer
from fuzz.mutation import (
    NUMBERS,
    VALUES,
    damaged_bytes,
    damaged_json,
    damaged_text,
    json_bytes,
)
from tiny_gguf import write_tiny_gguf
from walking import tokenizer as tiny
from walking import walk

from launcher import pack as packs
from launcher.words import Stop
from llm_walkthrough import catalogue
from llm_walkthrough.constraints.matcher import GrammarVocabulary
from llm_walkthrough.conversion.convert import convert
from llm_walkthrough.conversion.record import trouble
from llm_walkthrough.errors import InputError, StaleCacheError
from llm_walkthrough.grammar import (
    Grammar,
    json_schema,
    lark_grammar,
    regular_expression,
)
from llm_walkthrough.guards.loopback import LOOPBACK
from llm_walkthrough.model import open_model
from llm_walkthrough.model_files.chat_template import ChatTemplate
from llm_walkthrough.model_files.onnx_file import all_nodes
from llm_walkthrough.panel.board import Board
from llm_walkthrough.panel.server import BoardServer
from llm_walkthrough.panel.step import saved_run
from llm_walkthrough.panel.step.page import page, twin
from llm_walkthrough.tokenizer import open_tokenizer

ERRORS = (InputError, StaleCacheError, Stop)
MESSAGES = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Hello"},
]
TEMPLATES = (
    tiny_tokenizer.CHATML,
    """{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}
    {{ m['role'] | upper }}: {{ m['content'] | trim }}{{ eos_token }}{% endfor %}""",
    """{% macro one(m) %}{{ m | tojson(indent=2) }}{% endmacro %}{% for m in messages %}
    {% if loop.index > 9 %}{% break %}{% endif %}{{ one(m) }}{% endfor %}{{ range(3) }}
    """,
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
SAVED_RUN = {
    "format": saved_run.FORMAT,
    "model": "toy",
    "text": "the end",
    "prompt": [1, 2, 3],
    "settings": [{"temperature": 0.5, "top_k": 3, "seed": 1}],
    "steps": [[4, 0.5, 0], [5, None, 0]],
}
RECORD = {"version": 1, "variant": "int4", "sha256": {"a": "0" * 64, "b": "1" * 64}}
ACTIONS = (
    *("back", "step", "run", "stop", "tick", "reset", "limit", "speed", "switch", "u"),
    *("take", "load", "save", "export", "guessing", "large", "roll", "seed", "return"),
    *("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "ask", "tab"),
    *("step", "step", "nothing", ""),
)
INTEGERS = (onnx.AttributeProto.INT, onnx.AttributeProto.INTS)
USUAL = (2, 3, 4, 5, 7, 8, 16, 32, 64, 128, 1_000, -2)  # numbers that graphs have


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
        convert(folder / "damaged.gguf", folder / "model", variant="int4")


@cache
def _model(layout: str) -> dict[str, bytes]:
    with _folder() as folder:
        if layout in tiny_graph.LAYOUTS:
            tiny_graph.write_model(folder, tiny_graph.LAYOUTS[layout])
        else:
            (folder / "tiny.gguf").write_bytes(_gguf())
            convert(folder / "tiny.gguf", folder / "model", variant="int4")
            folder = folder / "model"  # noqa: PLW2901 - what was converted
        return {file.name: file.read_bytes() for file in folder.iterdir()}


def _opened(
    dice: random.Random, kinds: tuple[str, ...], damage: Callable[[bytes], bytes]
) -> None:
    """Damage the files of these kinds in a model folder; open it, and run it."""
    files = _model(dice.choice([*tiny_graph.LAYOUTS, "converted"]))
    with _folder() as folder:
        for name, content in files.items():
            is_damaged = name.endswith(kinds)
            (folder / name).write_bytes(damage(content) if is_damaged else content)
        model = open_model(folder, threads=1)
        held = model.new_cache(min(8, model.graph.context_length))
        _, held = model.run(np.array([1, 2, 3]), held)
        model.run(np.array([1]), held)
        model.new_cache()


def graph(dice: random.Random) -> None:
    """Open a graph whose bytes are damaged, or those of its weights."""
    _opened(dice, (".onnx", ".data"), lambda content: damaged_bytes(content, dice))


def attributes(dice: random.Random) -> None:
    """Open a graph whose operators are told other numbers."""

    def damage(content: bytes) -> bytes:
        model = onnx.load_from_string(content)
        nodes = all_nodes(model.graph)
        every = [a for node in nodes for a in node.attribute if a.type in INTEGERS]
        for one in dice.choices(every, k=dice.randint(0, 3)):
            one.i = dice.choice(dice.choice((NUMBERS, USUAL)))
            one.ints[:1] = [one.i] * bool(one.ints)
        if dice.random() < 0.1:
            del dice.choice(nodes).attribute[:1]
        if dice.random() < 0.1:
            del dice.choice(nodes).input[-1:]
        tensor = dice.choice(model.graph.initializer)
        if dice.random() < 0.1 and tensor.dims:
            tensor.dims[0] = dice.choice(USUAL)
        port = dice.choice((*model.graph.input, *model.graph.output))
        if dice.random() < 0.3 and port.type.tensor_type.shape.dim:
            axis = dice.choice(port.type.tensor_type.shape.dim)
            axis.dim_value = dice.choice(NUMBERS)
        changed: bytes = model.SerializeToString()
        return changed

    _opened(dice, (".onnx",), damage)


def config(dice: random.Random) -> None:
    """Open a sound graph beside a damaged configuration."""
    _opened(dice, ("config.json",), lambda text: json_bytes(json.loads(text), dice))


@cache
def _word() -> Grammar:
    return regular_expression("[a-z ]+")


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
        GrammarVocabulary(opened, opened.vocab, (0,)).start(_word()).allowed.any()


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
    saved_run.read(json_bytes(SAVED_RUN, dice).decode("utf-8", "replace"))


def record(dice: random.Random) -> None:
    """Compare a folder with a damaged record."""
    with _folder() as folder:
        (folder / "a").write_text("a")
        (folder / "conversion.json").write_bytes(json_bytes(RECORD, dice))
        (folder / "verified.json").write_bytes(json_bytes({"a": [1, 2, "x"]}, dice))
        trouble(folder, gguf_sha256="2" * 64)


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


def pack(dice: random.Random) -> None:
    """Look for the wheels of a pack whose facts or sums are damaged."""
    with _folder() as folder:
        (folder / "wheels").mkdir()
        (folder / "wheels" / "a-1-py3-none-any.whl").write_bytes(b"a wheel")
        facts = json.dumps(packs.pack_facts()).encode()
        is_facts = dice.random() < 0.5
        damaged = json_bytes(packs.pack_facts(), dice) if is_facts else facts
        (folder / packs.FACTS).write_bytes(damaged)
        names = packs.files_in(folder)
        sums = "".join(f"{packs.file_digest(folder / n)}  {n}\n" for n in names)
        if not is_facts:
            sums = damaged_text(sums, dice)
        (folder / packs.SUMS).write_text(sums, "utf-8", "replace")
        with (
            mock.patch.dict("os.environ", LLM_WALKTHROUGH_PACK=str(folder)),
            mock.patch.object(packs, "say"),
        ):
            packs.find_wheels()


def _value(dice: random.Random) -> object:
    usual = {"token": dice.randrange(300), "position": dice.randrange(12)}
    return dice.choice((*VALUES, usual, damaged_json(usual, dice), "B", 2, "0.5"))


def event(dice: random.Random) -> None:
    """Do on the step panel what no page would ask for."""
    one = walk()
    for _ in range(dice.randint(1, 12)):
        one.act(dice.choice(ACTIONS), _value(dice))
        one.snapshot()


@cache
def _server() -> BoardServer:
    server = BoardServer(Board(walk(), page, twin, tiny()))
    server.handle_error = mock.Mock()  # type: ignore[method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def request(dice: random.Random) -> None:
    """Ask the server of the step panel for what no page would."""
    server = _server()
    action = dice.choice(ACTIONS)
    usual = {"action": action, "value": None, "frame": 0, "view": "v", "number": 1}
    asked = {**usual, "value": _value(dice)}
    body = dice.choice((json.dumps(asked).encode(), json_bytes(usual, dice)))
    place = dice.choice(("event", "event", "event", "state.json", "x", "%00"))
    line = http.client.HTTPConnection(LOOPBACK, server.port, timeout=10)
    try:
        line.request(dice.choice(("POST", "GET")), f"/{server.word}/{place}", body)
        json.loads(line.getresponse().read() or b"{}")
    except json.JSONDecodeError:  # a page that says what is wrong
        pass
    finally:
        line.close()
    assert not server.handle_error.called, server.handle_error.call_args  # type: ignore[attr-defined]


READERS: dict[str, Callable[[random.Random], None]] = {
    one.__name__: one
    for one in (
        *(gguf, graph, attributes, config, tokenizer, template, grammar),
        *(run_file, record, models, pack, event, request),
    )
}
