"""Data sets: preparation from videos, records, the loader, and the sprite world."""
