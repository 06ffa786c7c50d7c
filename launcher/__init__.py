"""What stands behind `run.py`: everything that happens before the course can start.

Standard library only, and no syntax that Python 3.7 cannot read, since a Python that is
too old must get as far as being told so. Reading order: `places`, `words`,
`interpreter`, `done`, `lock`, `workshop`, `packages`, `pack`, `prepare`.
"""
