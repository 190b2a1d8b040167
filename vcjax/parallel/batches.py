"""Batches on a mesh: each process loads the samples of its own devices, which together form global arrays."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from vcjax.errors import BadInput
from vcjax.parallel.mesh import AXES

BATCH_AXES = ("data", "fsdp")


def batch_sharding(mesh: Mesh, *, images: bool = False) -> NamedSharding:
    """Return the sharding of a batch: clips are split over `data` and `fsdp`, images over all axes."""
    return NamedSharding(mesh, PartitionSpec(AXES if images else BATCH_AXES))


@dataclasses.dataclass(frozen=True)
class ProcessShard:
    """The part of every batch that one process loads.

    Attributes:
        shards: sorted indices of the shards; not always contiguous, as the mesh follows the torus of a TPU slice.
        count: number of equal shards that a batch is split into.
    """

    shards: tuple[int, ...] = (0,)
    count: int = 1

    def indices(self, size: int, kind: str = "samples") -> Int[np.ndarray, "n"]:
        """Return the indices of the samples of this process in a batch, in ascending order.

        Args:
            size: number of samples in the global batch.
            kind: what the samples are called in error messages.

        Raises:
            BadInput: the batch cannot be split into equal shards.
        """
        if size % self.count:
            raise BadInput(
                f"a batch of {size} {kind} must be a multiple of the {self.count} shards that it is split into"
            )
        return np.arange(size).reshape(self.count, -1)[list(self.shards)].reshape(-1)


FULL_BATCH = ProcessShard()


def process_shard(mesh: Mesh) -> ProcessShard:
    """Return the part of every batch for the devices of this process, in as few shards as possible."""
    if not set(mesh.devices.flat) & set(jax.local_devices()):  # compiling ahead of time for absent devices
        return FULL_BATCH
    count = math.prod(mesh.shape[axis] for axis in BATCH_AXES)
    slices: Any = batch_sharding(mesh).addressable_devices_indices_map((count,)).values()
    shards = sorted({shard for (rows,) in slices for shard in range(*rows.indices(count))})
    first, length = shards[0], len(shards)
    if shards[-1] - first + 1 == length and first % length == 0 == count % length:
        return ProcessShard((first // length,), count // length)
    return ProcessShard(tuple(shards), count)


def to_global_arrays(mesh: Mesh, local: Any, *, images: bool = False) -> Any:
    """Assemble a batch of global arrays from the samples of each process.

    Args:
        mesh: mesh of the devices.
        local: tree of arrays with the samples of this process (see `process_shard`) along the first axis.
        images: whether the batch consists of single images.

    Raises:
        BadInput: the batch cannot be split equally over the devices.
    """
    if mesh.size == 1:
        return local
    sharding, axes = batch_sharding(mesh, images=images), AXES if images else BATCH_AXES
    shard = process_shard(mesh)
    num_devices = math.prod(mesh.shape[axis] for axis in axes)

    def to_global(rows: Any) -> jax.Array:
        rows = np.asarray(rows)
        shape = (len(rows) // len(shard.shards) * shard.count, *rows.shape[1:])
        if shape[0] % num_devices:
            raise BadInput(
                f"a batch of {shape[0]} {'images' if images else 'clips'} cannot be shared by {num_devices} devices along "
                f"{' x '.join(axes)} of the mesh: give a multiple of that, or another mesh"
            )
        indices = shard.indices(shape[0])

        def device_rows(slices: Any) -> np.ndarray:
            begin, end, _ = slices[0].indices(shape[0])
            first = np.searchsorted(indices, begin)
            return rows[first : first + end - begin]

        return jax.make_array_from_callback(shape, sharding, device_rows)

    return jax.tree.map(to_global, local)
