"""The step panel: its state, then its page."""
