"""PyTorch state dicts: their names, their layouts, and our variables."""
