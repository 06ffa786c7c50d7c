"""The commands and their terminal."""
