"""Parallelism: device mesh, sharding, multi-host runs and compilation."""
