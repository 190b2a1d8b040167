"""Data sets: where clips with captions and conditions come from."""
