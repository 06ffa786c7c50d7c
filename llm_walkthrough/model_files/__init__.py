"""Readers of the files in a model folder, one module for each kind of file."""
