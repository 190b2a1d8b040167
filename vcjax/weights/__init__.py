"""Model folders on disk: format, reading and writing, conversion from and to PyTorch."""
