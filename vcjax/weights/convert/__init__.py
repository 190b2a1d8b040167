"""Conversion between the released PyTorch checkpoints and Flax parameter trees, by rules given as data."""
