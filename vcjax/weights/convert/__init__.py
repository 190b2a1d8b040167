"""Conversion between the released PyTorch files and parameter trees: a bijection written down as data."""
