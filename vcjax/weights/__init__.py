"""A model on disk: layout, reading and writing, conversion from and to PyTorch."""
