"""Damaged copies of a text or file, each made from a seed."""

from __future__ import annotations

import json
import random
import re
from typing import Any

NUMBERS = (0, 1, -1, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63))
VALUES: tuple[Any, ...] = (
    *(None, True, "", "x" * 5_000, "\x1b[31m\u202e", "\ud800", [], {}, [[]], {"": {}}),
    *(*NUMBERS, 10**400, 0.5, -1e308, 1e400, float("nan")),
)
WORDS = ("[" * 2_000, '{"a":' * 2_000, "(" * 500, "\0", "é", "🙂", "%", "\n", '"', "*/")


def damaged_bytes(content: bytes, dice: random.Random) -> bytes:
    """Change, drop, repeat or insert a few bytes, or cut the end off."""
    data = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(data) + 1)
        length = dice.choice((1, 2, 4, 8, 64, 1_000))
        number = dice.choice(NUMBERS) % 2**64
        match dice.randrange(7):
            case 0 if place < len(data):
                data[place] ^= 1 << dice.randrange(8)
            case 1:
                data[place : place + length] = dice.randbytes(length)
            case 2:
                del data[place : place + length]
            case 3:
                data[place:place] = data[place : place + length]
            case 4:
                size = dice.choice((4, 8))
                data[place : place + size] = (number % 2 ** (8 * size)).to_bytes(
                    size, "little"
                )
            case 5 if dice.random() < 0.3:
                del data[place:]
            case _:
                data[place : place + 1] = dice.choice(WORDS).encode()
    return bytes(data)


def damaged_text(text: str, dice: random.Random) -> str:
    """Do the same to a text, by its words."""
    words = re.findall(r"\w+|\W", text)
    for _ in range(dice.randint(1, 4)):
        place = dice.randrange(len(words) + 1)
        some = dice.choice((*WORDS, *words, str(dice.choice(NUMBERS))))
        words[place : place + dice.randrange(3)] = [some] * dice.choice(
            (0, 1, 1, 2, 50)
        )
    return "".join(words)


def damaged_json(content: Any, dice: random.Random) -> Any:  # noqa: ANN401 - as JSON is
    """Put another value in one place of an object; or make its text wrong."""
    parts: list[tuple[Any, Any]] = []

    def collect(part: Any) -> None:  # noqa: ANN401 - likewise
        keys = part if isinstance(part, dict) else range(len(part))
        for key in list(keys):
            parts.append((part, key))
            if isinstance(part[key], dict | list):
                collect(part[key])

    copied = json.loads(json.dumps(content))
    collect(copied)
    for _ in range(dice.randint(1, 3)):
        part, key = dice.choice(parts)
        if isinstance(part, dict) and dice.random() < 0.2:
            part.pop(key, None)
        else:
            nested: Any = dice.choice(VALUES)
            for _ in range(dice.choice((0, 0, 0, 1, 400))):
                nested = dice.choice(([nested], {"a": nested}))
            part[key] = nested
    return copied


def json_bytes(content: Any, dice: random.Random) -> bytes:  # noqa: ANN401 - likewise
    """Write a damaged object, now and then with its bytes damaged instead."""
    if dice.random() < 0.3:
        return damaged_bytes(json.dumps(content).encode(), dice)
    return json.dumps(damaged_json(content, dice)).encode("utf-8", "surrogatepass")
