"""The step panel: branches, desk, saved runs and walk are its state; its page."""
