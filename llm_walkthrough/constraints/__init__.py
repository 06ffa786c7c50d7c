"""How a grammar is followed."""
