"""The small panels, each for one thing."""
