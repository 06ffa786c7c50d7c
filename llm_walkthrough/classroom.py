"""What a notebook begins with: the default model, its tokenizer, and one request.

Names the command that brings what is missing. Knows nothing of what notebooks teach.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llm_walkthrough.answer import chat_prompt, load
from llm_walkthrough.arrays import TokenIds
from llm_walkthrough.catalogue import entries, find
from llm_walkthrough.model import Model
from llm_walkthrough.packing import in_background
from llm_walkthrough.tokenizer import Tokenizer

if TYPE_CHECKING:  # gguf takes memory
    from llm_walkthrough.conversion.convert import Variant

REQUEST = "Give me a short yoga routine for lower back pain."
"""What the thread through all notebooks asks for."""


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
        return self.tokenizer.encode(chat_prompt(self.tokenizer, request))


def open_lesson(variant: Variant = "int4") -> Lesson:
    """Open the default model, or say in an InputError which command brings it.

    "int4" is small and fast, "float32" gives nearly the same logits everywhere.
    """
    lesson = Lesson(*load(find(f"{entries()[0].name}-{variant}")))
    in_background(lesson.model.graph)  # for kernels to come
    return lesson
