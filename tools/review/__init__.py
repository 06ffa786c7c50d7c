"""Notebooks that a class handed in, judged by the course's own checks.

Learners' code runs in a process of its own (`learner`), with limits (`kernel`), and
only ever gives *values*. Whether these are right is found in another process (`judge`),
in which no line of theirs runs. `lesson` finds the files, and the cells that an
exercise needs, `table` shows what came of it, and `__main__` is the command.
"""
