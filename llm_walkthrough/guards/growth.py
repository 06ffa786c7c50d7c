"""Tokenizers that would make endlessly many letters of one, refused before they run.

Replacements in a tokenizer.json work one after the other, so what they make of a letter
multiplies: forty that double it fill any memory. Knows nothing of tokens.
"""

from __future__ import annotations

import math
import re
from typing import Any

MOST_LETTERS = 1_000  # of one; real tokenizers make a handful
_CONTENT = re.compile(r'"content":"((?:[^"\\]|\\.)+)"')  # what replaces something


def check_growth(*parts: Any) -> None:  # noqa: ANN401 - of a library without types
    """Raise ValueError if a normalizer or decoder may make too many letters of one."""
    for part in filter(None, parts):
        # the library shows settings only in a pickled state, which is JSON
        contents = _CONTENT.findall(part.__getstate__().decode())
        if math.prod(map(len, contents)) > MOST_LETTERS:
            raise ValueError(f"it may make more than {MOST_LETTERS:,} letters of one")
