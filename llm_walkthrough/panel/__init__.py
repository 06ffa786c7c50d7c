"""The step panel: what it knows, what can be done on it, and how it is drawn.

Pure functions and one state; nothing in this folder knows a widget library.
"""
