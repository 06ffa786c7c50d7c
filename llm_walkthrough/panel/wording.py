"""How is what happened said in a sentence or two?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llm_walkthrough.panel.marks import percent, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from llm_walkthrough.panel.watched import Score
    from llm_walkthrough.views import Vocabulary

    Scored = tuple[int, Score]
    """A token, and how likely the model found it."""


def verdict(came: Scored, said: Scored, vocabulary: Vocabulary) -> str:
    """Say how good a guess was.

    Args:
        came: the token that was drawn.
        said: the token that was guessed.
        vocabulary: shows them.
    """
    piece = quoted(vocabulary.piece(came[0]))
    if came[0] == said[0]:
        return f"Right: {piece} came. The model gives it {_likely(came[1])}."
    other = quoted(vocabulary.piece(said[0]))
    return (
        f"You said {other}, {piece} came: the model gives it {_likely(came[1])}. It "
        f"gives your token {_likely(said[1])}."
    )


def replayed(
    differences: Sequence[tuple[int, int, int]], total: int, vocabulary: Vocabulary
) -> str:
    """Say how a replay went.

    Args:
        differences: step, token that is drawn here, token of the saved run; for each
            step at which these two differ.
        total: how many steps were replayed.
        vocabulary: shows the tokens.
    """
    if not differences:
        return f"Replayed {total} steps: the same tokens."
    step, drawn, saved = differences[0]
    here, there = (quoted(vocabulary.piece(token)) for token in (drawn, saved))
    return (
        f"Replayed {total} steps. At step {step} this machine draws {here} where the "
        f"run was saved with {there} ({len(differences)} such steps): another "
        "machine or variant rounds the logits differently, and another grammar leaves "
        "other tokens. The saved tokens were taken."
    )


def _likely(score: Score) -> str:
    return f"{percent(score.probability)} % (rank {score.rank:,})"
