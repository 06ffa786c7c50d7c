"""Contrast of two colours by WCAG 2.2, and what it must be at least."""

from __future__ import annotations

import re
from collections.abc import Sequence

READABLE = 4.5
"""Of text, by success criterion 1.4.3."""


def numbers(colour: str) -> list[float]:
    """Red, green and blue, 0 to 255, of "#1b1f24" or "#fff"; after them opacity."""
    if colour.startswith("#"):
        double = 2 if len(colour) == len("#fff") else 1
        digits = "".join(digit * double for digit in colour[1:])
        return [float(value) for value in bytes.fromhex(digits)]
    return [float(value) for value in re.findall(r"[\d.]+", colour)]


def contrast(one: Sequence[float], other: Sequence[float]) -> float:
    """How far two colours of red, green and blue are apart, 1 to 21."""
    darker, lighter = sorted(map(_luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(colour: Sequence[float]) -> float:
    shares = (value / 255 for value in colour)
    linear = (
        s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares
    )
    return sum(w * s for w, s in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
