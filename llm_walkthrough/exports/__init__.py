"""What exporters do differently, and how far each export can be trusted."""
