"""The words of all panels: numbers, tokens that are cut and quoted, a few sentences.

Knows nothing of elements, frames or buttons.
"""

from __future__ import annotations

from collections.abc import Sequence

from llm_walkthrough.guards.markup import TEMPLATES
from llm_walkthrough.panel.watched import Score
from llm_walkthrough.views import Vocabulary, byte_count, visible

Scored = tuple[int, Score]  # a token, and how likely the model found it
LONGEST = 40  # characters of a token that are shown at most; its name has all
_LEAST = 0.01  # percent; less is not told apart


def cut(piece: str) -> str:
    """Return a token that is not too long to be shown."""
    return piece if len(piece) <= LONGEST else f"{piece[: LONGEST - 1]}…"


def quoted(piece: str) -> str:
    """Return a token in quotation marks, which does not turn a sentence round."""
    return f"“\u2068{cut(piece)}\u2069”"


def in_tokens(count: int) -> str:
    """Count tokens."""
    return f"{count:,} {'token' if count == 1 else 'tokens'}"


def percent(probability: float) -> str:
    """Write a probability as a share of 100, three figures at the most."""
    share = 100 * probability
    if share == 0:
        return "0"
    if share < _LEAST:
        return f"<{_LEAST}"
    return f"{share:.2f}" if share < 1 else f"{share:.1f}"


def verdict(came: Scored, said: Scored, vocabulary: Vocabulary) -> str:
    """Say how good a guess was: the token that came, and the one that was said."""
    piece = quoted(vocabulary.piece(came[0]))
    if came[0] == said[0]:
        return f"Right: {piece} came. The model gives it {_likely(came[1])}."
    other = quoted(vocabulary.piece(said[0]))
    shares = f"{piece} {_likely(came[1])}, and your token {_likely(said[1])}"
    return f"You said {other}, but {piece} came. The model gives {shares}."


def replayed(
    differences: Sequence[tuple[int, int, int]], total: int, vocabulary: Vocabulary
) -> str:
    """Say how a replay went; `differences` are (step, drawn here, saved)."""
    if not differences:
        return f"Replayed {total} steps: the same tokens."
    step, drawn, saved = differences[0]
    here, there = (quoted(vocabulary.piece(token)) for token in (drawn, saved))
    seen = f"At step {step} this machine draws {here}, but the saved run has {there}"
    why = "another machine or variant rounds the logits differently, and another"
    why += " grammar leaves other tokens. The panel took the saved tokens."
    return f"Replayed {total} steps. {seen} ({len(differences)} such steps): {why}"


def _likely(score: Score) -> str:
    return f"{percent(score.probability)} % (rank {score.rank:,})"


_WORDING = (byte_count, cut, in_tokens, percent, quoted, visible)
TEMPLATES.globals |= {function.__name__: function for function in _WORDING}
