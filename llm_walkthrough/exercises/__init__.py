"""Exercises as data, their words beside them, and the loop that tries an answer."""
