"""How the files of a model folder are read."""
