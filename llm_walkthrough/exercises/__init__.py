"""Exercises as data, one file for each notebook, and the loop that tries an answer."""
