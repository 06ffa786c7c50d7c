"""How fast the package is, against named peers; not installed for learners."""
