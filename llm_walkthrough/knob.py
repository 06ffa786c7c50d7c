"""One setting as people turn it: how far it goes, what it is called, how it is written.

From a knob follow an option of the command line, a slider, the words for a number and
the refusal of a wrong one. Knows nothing of what the number does to logits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_walkthrough.errors import InputError


@dataclass(frozen=True)
class Knob:
    """One setting of `Sampling`: all that is said of its number, anywhere."""

    name: str  # of the field of `Sampling`
    processor: type[Any]  # made with the number
    off: float  # the number without effect, for which no processor is needed
    allowed: tuple[float, float]  # lowest and highest that the processor takes
    slider: tuple[float, float, float]  # lowest, highest and step
    mark: str = ""  # before the number of a processor, in place of the label
    greedy: float | None = None  # the number that stands for TopK(1)
    kind: type[int | float] = float  # int where only whole numbers make sense

    @property
    def label(self) -> str:
        """The name for people."""
        return self.name.replace("_", "-")

    @property
    def help(self) -> str:
        """What the processor does, in a few words: the first line of its docstring."""
        sentence = str(self.processor.__doc__).partition("\n")[0].removesuffix(".")
        return sentence[:1].lower() + sentence[1:]

    def shown(self, number: float) -> str:
        """Write a number as people read it: "0.80", "40", "off" or "greedy"."""
        words = {self.off: "off", self.greedy: "greedy"}
        return words.get(number, self._digits(number))

    def marked(self, number: float) -> str:
        """Write a number behind what it is, in little space: "top-k 40"."""
        return f"{self.mark or self.label} {self._digits(number)}"

    def _digits(self, number: float) -> str:
        return str(number) if self.kind is int else f"{number:.2f}"

    def require_allowed(self, number: float) -> None:
        """Raise InputError unless the processor takes the number."""
        low, high = self.allowed
        is_kind = self.kind is float or type(number) is int  # True is no number here
        if is_kind and low <= number <= high:  # also refuses NaN
            return
        wanted = f"between {low:g} and {high:g}"
        if self.kind is int:
            wanted = f"a whole number of at least {low}"
        way_out = (
            f"leave {self.processor.__name__} out, or set {self.name} to {self.off}, "
            "to switch it off"
        )
        if self.greedy is not None:
            way_out = f"for greedy decoding use TopK(1), or the setting {self.name} 0"
        raise InputError(f"{self.label} must be {wanted}, got {number}; {way_out}")
