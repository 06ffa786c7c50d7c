"""What opens the course in a clone, and what maintainers run."""
