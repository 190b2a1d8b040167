"""Devices: the mesh and what is compiled for it."""
