"""Is this answer right, and which typical mistake is it? One file per notebook."""
