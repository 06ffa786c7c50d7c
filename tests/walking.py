"""A step panel on the toy model with the tiny tokenizer, for tests of all panels."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
from tiny_tokenizer import CHATML, byte_level, write_folder
from toy_model import SharedToy, ToyModel

from llm_walkthrough.arrays import Logits, LogitsRows, TokenIds
from llm_walkthrough.kv_cache import KVCache
from llm_walkthrough.panel.candidates import Distribution
from llm_walkthrough.panel.step.walk import Desk, Walk
from llm_walkthrough.sampling import Sampling
from llm_walkthrough.tokenizer import Tokenizer, open_tokenizer

PROMPT = np.array([40, 41, 262, 43, 44])  # 262 is <|im_start|>
END = 263
HOSTILE = ("<script>", "</style>", "\"'&", "\u202eleft", "x" * 300)
VOID = {"input", "br", "img", "meta", "circle", "path", "hr"}


class Hostile:
    """A vocabulary whose tokens would break a page if they were not escaped."""

    def piece(self, token: int) -> str:
        return HOSTILE[token % len(HOSTILE)]


@dataclass(frozen=True)
class Without:
    """A processor that lets one token not come, and says why."""

    token: int
    label: str = "not that"

    def __call__(self, logits: Logits, _context: TokenIds, /) -> Logits:
        changed = logits.copy()
        changed[self.token] = -np.inf
        return changed

    def reason(self, token: int, _context: TokenIds, /) -> str | None:
        return f"{token} is forbidden" if token == self.token else None


class Interrupted(SharedToy):
    """Is interrupted in the middle of a run, when it is time."""

    is_time = False

    def run(self, unseen: TokenIds, cache: KVCache) -> tuple[LogitsRows, KVCache]:
        if self.is_time:
            self.is_time = False
            raise KeyboardInterrupt
        return super().run(unseen, cache)


@cache
def tokenizer() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        written = write_folder(Path(folder), byte_level(), chat_template=CHATML)
        return open_tokenizer(written)


def toy(kind: type[ToyModel] = SharedToy, capacity: int = 400) -> ToyModel:
    return kind(vocab=tokenizer().vocab, capacity=capacity)


def walk(model: ToyModel | None = None, **settings: Any) -> Walk:  # noqa: ANN401 - as Walk, or Desk
    usual = {"title": "toy", "end_tokens": (END,), "sampling": Sampling(2, 0, 1)}
    chosen = {**usual, **settings}
    own = ("sampling", "seed", "tour")
    desk = {name: chosen.pop(name) for name in own if name in chosen}
    return Walk(model or toy(), tokenizer(), PROMPT, Desk(**desk), **chosen)


def made(one: Walk) -> list[int]:
    return [int(token) for token in one.stepper.new_tokens]


def take(one: Walk, rank: int) -> int:
    """Click the candidate in this row; returns its token."""
    token = now(one).rows[rank].token
    one.act("take", {"token": token, "position": one.stepper.position})
    return token


def now(one: Walk) -> Distribution:
    found = one.snapshot().distribution
    assert found is not None
    return found


def steps(one: Walk, count: int) -> None:
    for _ in range(count):
        one.act("step")


class Reader(HTMLParser):
    """Reads a page as a browser does: its elements, their nesting, its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == [], "an element is not closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def actions(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of all elements with this action."""
        return [a for _, a in self.tags if a.get("data-action") == name]

    def styled(self, name: str) -> list[dict[str, str | None]]:
        """Attributes of all elements with this class."""
        return [a for _, a in self.tags if name in str(a.get("class")).split()]


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]
