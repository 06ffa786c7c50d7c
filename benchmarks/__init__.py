"""How fast the package is, against named peers; not installed for learners.

Each subject of `bench` is a module with a function `measure(path, show, …)`, which
returns what `report.Told` asks for. `path` is a model folder; `show` is told what is
being done, and the share of it that is done. Where they are taken, `rounds` is how
often everything is measured, in turn, and `threads` is for one operator of each side
(default: one for each core). What cannot be measured is an InputError.
"""
