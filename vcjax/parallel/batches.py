"""Batches on a mesh: every process makes the rows that its devices hold, and together they are one array."""

import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vcjax.errors import BadInput
from vcjax.parallel.mesh import AXES

CLIPS = ("data", "fsdp")


def batch_sharding(mesh: Mesh, *, images: bool = False) -> NamedSharding:
    """How a batch lies: clips are split over `data` and `fsdp`, single images over all axes."""
    return NamedSharding(mesh, PartitionSpec(AXES if images else CLIPS))


def share(mesh: Mesh) -> tuple[int, int]:
    """Which of how many equal parts of every batch this process makes, in their order.

    Raises:
        BadInput: the mesh deals this process parts that do not lie together.
    """
    if not set(mesh.devices.flat) & set(jax.local_devices()):  # the devices are only planned for
        return 0, 1
    count = math.prod(mesh.shape[axis] for axis in CLIPS)
    held: Any = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    parts = sorted({part for (rows,) in held for part in range(*rows.indices(count))})
    if parts[-1] - parts[0] + 1 != len(parts) or parts[0] % len(parts):
        raise BadInput(
            "this mesh deals a host parts of a batch that do not lie together: give it another shape"
        )
    return parts[0] // len(parts), count // len(parts)


def assembled(mesh: Mesh, local: Any, *, images: bool = False) -> Any:
    """The batch as global arrays.

    Args:
        mesh: the devices.
        local: a tree of this process's `share`, its samples along the first axis of each array.
        images: whether it is one of single images.

    Raises:
        BadInput: the devices cannot share the batch equally.
    """
    if mesh.size == 1:
        return local
    sharding, axes = batch_sharding(mesh, images=images), AXES if images else CLIPS
    index, parts = share(mesh)
    pieces = math.prod(mesh.shape[axis] for axis in axes)

    def whole(rows: Any) -> jax.Array:
        rows = np.asarray(rows)
        shape = (len(rows) * parts, *rows.shape[1:])
        if shape[0] % pieces:
            raise BadInput(
                f"a batch of {shape[0]} {'images' if images else 'clips'} cannot be shared by {pieces} devices along "
                f"{' x '.join(axes)} of the mesh: give one that they divide, or another mesh"
            )
        first = index * len(rows)

        def part(places: Any) -> np.ndarray:
            begin, end, _ = places[0].indices(shape[0])
            return rows[begin - first : end - first]

        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(whole, local)
