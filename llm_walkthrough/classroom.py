"""What does a notebook need before it can begin?

The default model with its tokenizer, and the request that runs through the whole
course. Whatever is missing is said in one sentence with the command that mends it.
Knows nothing of what the notebooks teach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llm_walkthrough.answer import load
from llm_walkthrough.catalogue import find

if TYPE_CHECKING:
    from pathlib import Path

    from llm_walkthrough.arrays import TokenIds
    from llm_walkthrough.model import Model
    from llm_walkthrough.tokenizer import Tokenizer

REQUEST = "Give me a short yoga routine against lower back pain."
"""What the thread through all notebooks asks for."""

Variant = Literal["int4", "float32"]


@dataclass(frozen=True)
class Lesson:
    """A model that is ready to run, with its tokenizer."""

    model: Model
    tokenizer: Tokenizer

    @property
    def folder(self) -> Path:
        """Where the model's files are."""
        return self.model.graph.path.parent

    def prompt(self, request: str = REQUEST) -> TokenIds:
        """Return the tokens of a chat in which the user has just asked `request`."""
        messages = [{"role": "user", "content": request}]
        return self.tokenizer.encode(self.tokenizer.chat(messages))


def open_lesson(variant: Variant = "int4") -> Lesson:
    """Open the default model.

    Args:
        variant: "int4" is small and fast; "float32" gives the same tokens on every
            processor.

    Raises:
        InputError: the model is not there, or not whole; says which command to run.
    """
    return Lesson(*load(find(f"smollm2-135m-instruct-{variant}")))
