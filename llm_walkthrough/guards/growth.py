"""Tokenizers that would make endlessly many letters of one, refused before they run.

Replacements in a tokenizer.json work one after the other, so what they make of a letter
multiplies: forty that double it fill any memory. Knows nothing of tokens.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

MOST_LETTERS = 1_000  # of one; real tokenizers make a handful


def check_growth(*parts: Any) -> None:  # noqa: ANN401 - of a library without types
    """Raise ValueError if a normalizer or decoder may make too many letters of one."""
    for part in filter(None, parts):
        # the library shows settings only in a pickled state, which is JSON
        replaced = list(_contents(json.loads(part.__getstate__())))
        if (letters := math.prod(map(len, replaced))) > MOST_LETTERS:
            raise ValueError(f"it may make {letters:,} letters of one")


def _contents(setting: object) -> Iterator[str]:
    """Yield every text that something is replaced by, at any depth."""
    if isinstance(setting, list):
        for part in setting:
            yield from _contents(part)
    elif isinstance(setting, dict):
        if content := setting.get("content"):
            yield str(content)
        yield from _contents([*setting.values()])
