"""Conditions of a video: one module per kind, and the catalogue of all of them."""
