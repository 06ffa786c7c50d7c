"""Facts of this machine, and the judgements on them."""
