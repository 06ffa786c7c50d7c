"""How weights from elsewhere become a model folder."""
