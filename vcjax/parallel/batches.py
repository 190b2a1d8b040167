"""Batches on a mesh: every process makes the rows that its devices hold, and together they are one array."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from vcjax.errors import BadInput
from vcjax.parallel.mesh import AXES

CLIPS = ("data", "fsdp")


def batch_sharding(mesh: Mesh, *, images: bool = False) -> NamedSharding:
    """How a batch lies: clips are split over `data` and `fsdp`, single images over all axes."""
    return NamedSharding(mesh, PartitionSpec(AXES if images else CLIPS))


@dataclasses.dataclass(frozen=True)
class Share:
    """What one process makes of every batch.

    Attributes:
        parts: which ones, in their order. Those of a host need not lie together: on a TPU slice the mesh follows the torus.
        count: how many equal parts a batch is cut into.
    """

    parts: tuple[int, ...] = (0,)
    count: int = 1

    def places(self, size: int, kind: str = "samples") -> Int[np.ndarray, "n"]:
        """Which places of a batch of `size` these are, the least first.

        Raises:
            BadInput: the batch cannot be cut into equal parts.
        """
        if size % self.count:
            raise BadInput(
                f"a batch of {size} {kind} must be a multiple of the {self.count} parts that hosts share it in"
            )
        return np.arange(size).reshape(self.count, -1)[list(self.parts)].reshape(-1)


WHOLE = Share()


def share(mesh: Mesh) -> Share:
    """What this process makes of every batch: what its devices hold of it, in as few parts as can be."""
    if not set(mesh.devices.flat) & set(jax.local_devices()):  # the devices are only planned for
        return WHOLE
    count = math.prod(mesh.shape[axis] for axis in CLIPS)
    held: Any = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    parts = sorted({part for (rows,) in held for part in range(*rows.indices(count))})
    first, together = parts[0], len(parts)
    if parts[-1] - first + 1 == together and first % together == 0 == count % together:
        return Share((first // together,), count // together)
    return Share(tuple(parts), count)


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
    made = share(mesh)
    pieces = math.prod(mesh.shape[axis] for axis in axes)

    def whole(rows: Any) -> jax.Array:
        rows = np.asarray(rows)
        shape = (len(rows) // len(made.parts) * made.count, *rows.shape[1:])
        if shape[0] % pieces:
            raise BadInput(
                f"a batch of {shape[0]} {'images' if images else 'clips'} cannot be shared by {pieces} devices along "
                f"{' x '.join(axes)} of the mesh: give one that they divide, or another mesh"
            )
        ours = made.places(shape[0])

        def part(places: Any) -> np.ndarray:
            begin, end, _ = places[0].indices(shape[0])
            first = np.searchsorted(ours, begin)
            return rows[first : first + end - begin]

        return jax.make_array_from_callback(shape, sharding, part)

    return jax.tree.map(whole, local)
