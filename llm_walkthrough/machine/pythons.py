"""The Pythons for which every package that is needed here has a wheel.

Standard library only, and read by `run.py` before anything is installed.
"""

OLDEST, NEWEST = (3, 11), (3, 14)
