"""The panels: what each knows, what can be done on it, and how it is drawn.

Pure functions and a state for each; nothing in this folder knows a widget library.
"""
