"""The parts of a decode loop, right and with their usual faults, and how runs differ.

No fault raises an error. Knows nothing of the loop itself, which is in notebook 10.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np

from llm_walkthrough.arrays import Logits
from llm_walkthrough.sampling import RepetitionPenalty, TopP

Part = Callable[..., Any]
SMALL = 0.05  # logits that move by less are rounding
_NO_CONTEXT = np.array([], np.int64)  # top-p does not look at it


def _past(ports: Sequence[Any], length: int) -> dict[str, np.ndarray]:
    shapes = {port.name: (1, port.shape[1], length, port.shape[3]) for port in ports}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


RIGHT: dict[str, Part] = {
    "encode": lambda tokenizer, chat: tokenizer.encode(chat).tolist(),
    "past": lambda ports, _: _past(ports, 0),
    "mask": lambda cached, new, _: np.ones((1, cached + new), np.int64),
    "positions": lambda cached, new: np.arange(cached, cached + new)[np.newaxis],
    "carry": lambda past, outputs: {
        name: outputs[name.replace("past_key_values", "present")] for name in past
    },
    "cut": lambda array, head, _: array[:, :, :head],
    "penalise": lambda logits, said, by: RepetitionPenalty(by)(logits, np.array(said)),
    "reshape": lambda logits, t, p: TopP(p)(logits / np.float32(t), _NO_CONTEXT),
    "is_end": lambda library, token: token == library.token_to_id("<|im_end|>"),
    "stream": lambda tokenizer, tokens: [tokenizer.decode(tokens)],
    "speed": lambda made, _, seconds: made / seconds,
}  # what each part is given and returns, stands in notebook 10

WRONG: dict[str, Part] = {
    "encode": lambda own, chat: own.encode(f"<|im_start|>{chat}<|im_end|>").tolist(),
    "past": _past,
    "mask": lambda _, new, total: np.ones((1, total - (new == 1)), np.int64),
    "positions": lambda _, new: np.arange(new)[np.newaxis],
    "carry": lambda past, outputs: dict(
        zip(past, [*outputs.values()][1:], strict=True)
    ),
    "cut": lambda a, head, tail: np.append(a[:, :, :head], a[:, :, -tail:], axis=2),
    "penalise": lambda x, said, by: np.where(np.isin(range(len(x)), said), x / by, x),
    "reshape": lambda logits, t, p: TopP(p)(logits, _NO_CONTEXT) / np.float32(t),
    "is_end": lambda library, token: token == library.token_to_id("</s>"),
    "stream": lambda own, tokens: [
        own.decode(tokens[: n + 1])[len(own.decode(tokens[:n])) :]  # what is longer
        for n in range(len(tokens))
    ],
    "speed": lambda _, limit, seconds: limit / seconds,
}


def parts(**mine: Part) -> SimpleNamespace:
    """Return the right parts, but for those that are given."""
    return SimpleNamespace(**{**RIGHT, **mine})


@dataclass(frozen=True)
class Decoded:
    """What came of a loop."""

    tokens: list[int]  # the new ones
    pieces: list[str]  # each of them, visible
    logits: list[Logits]  # that each was drawn from, penalised; [vocab] float32
    text: str  # as it was streamed
    claimed: float  # how many tokens its speed counts

    def moves(self, right: Decoded) -> list[float]:
        """Return for each token how far a logit is from the right one at most."""
        pairs = zip(self.logits, right.logits, strict=False)
        return [float(np.abs(mine - its).max()) for mine, its in pairs]

    def num_right(self, right: Decoded) -> int:
        """Return how many tokens come before the first that differs."""
        pairs = zip(self.tokens, right.tokens, strict=False)
        return [*(mine == its for mine, its in pairs), False].index(False)

    def effect(self, right: Decoded) -> str:
        """Say how far the logits moved, what differs first, and what a reader sees."""
        same, made = self.num_right(right), len(self.tokens)
        moved = max(self.moves(right)[: same + 1])  # afterwards the contexts differ
        how = f"Logits move by up to {moved:.1f}" if moved > SMALL else "No logit moves"
        if same < min(made, len(right.tokens)):
            how += f"; new token {same + 1} is the first to differ: "
            how += f"“{self.pieces[same]}” instead of “{right.pieces[same]}”"
        elif made != len(right.tokens):
            how += f"; {made} tokens are made instead of {len(right.tokens)}"
        if abs(self.claimed - made) > SMALL:
            how += f"; {self.claimed:.0f} tokens are counted, and {made} were made"
        is_same, words = self.text == right.text, " ".join(self.text.split())
        return f"{how}. A reader sees {'the same text' if is_same else f'“{words}”'}."
