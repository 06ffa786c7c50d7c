"""The errors of this package: what was handed in cannot be used, or is out of date.

Knows nothing of the modules that raise. A message names the culprit, the value, what
was wanted and the way out, in one sentence; the command line prints it as it is.
"""

from __future__ import annotations

import re

FETCH_AGAIN = "fetch or convert the model again"  # where a file of it is damaged

# Control characters but tab and newline, and those that reorder the text beside them.
_ORDERS = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class InputError(ValueError):
    """A value, file or model that was handed in cannot be used; nothing was changed."""

    def __str__(self) -> str:
        return harmless(super().__str__()).replace("\n", " ")

    def _render_traceback_(self) -> list[str]:
        """Tell IPython to show the sentence alone, without a traceback."""
        return [f"{type(self).__name__}: {self}"]


def harmless(text: str) -> str:
    r"""Show as numbers what would set a terminal's colours, title or clipboard.

    >>> print(harmless("\x1b[31mred\x1b[0m, \u202edeb\n"), end="")
    <0x1B>[31mred<0x1B>[0m, <U+202E>deb
    """
    return _ORDERS.sub(lambda sign: as_number(sign[0]), text)


def as_number(sign: str) -> str:
    """Write a character as its number, or a byte that `surrogateescape` made one."""
    is_byte = sign.isascii() or "\udc80" <= sign <= "\udcff"
    return f"<0x{ord(sign) & 0xFF:02X}>" if is_byte else f"<U+{ord(sign):04X}>"


class StaleCacheError(RuntimeError):
    """A cache handle whose rows were since overwritten; it can no longer be read."""
