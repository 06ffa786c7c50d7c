"""States of a text in its grammar, and the ends that the grammar allows it."""
