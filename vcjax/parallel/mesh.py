"""The device mesh: all devices of a run, on all hosts, along three axes; a single device is a mesh too."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
from jax.experimental import mesh_utils, multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vcjax.errors import BadInput

AXES = ("data", "fsdp", "frames")


@dataclasses.dataclass(frozen=True, kw_only=True)
class MeshShape:
    """Number of devices along each axis of the mesh. One of them may be -1, for all remaining devices.

    Attributes:
        data: data parallelism: clips are split over this axis, parameters are replicated.
        fsdp: fully sharded data parallelism: clips are split over this axis, and so are parameters, optimiser
            state and EMA, by the partition rules.
        frames: each clip is split over this axis, by frames in spatial layers and by pixels in temporal
            layers. Its devices are neighbours, because they communicate the most.
    """

    data: int = -1
    fsdp: int = 1
    frames: int = 1


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """Create a mesh with the axes `data`, `fsdp` and `frames`.

    ```python
    mesh = make_mesh(MeshShape(fsdp=4))                       # all devices of all hosts
    mesh = make_mesh(MeshShape(frames=2), jax.devices()[:2])
    mesh = make_mesh(shape, topologies.get_topology_desc("v5e:4x4", "tpu").devices)   # none of them present
    ```

    Args:
        shape: number of devices along each axis.
        devices: devices of the mesh, or of a topology description; `jax.devices()` if None.

    Raises:
        BadInput: the product of the sizes is not the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = [getattr(shape, axis) for axis in AXES]
    description = ", ".join(f"{axis} = {size}" for axis, size in zip(AXES, sizes, strict=True))
    if sizes.count(-1) > 1 or any(size < 1 and size != -1 for size in sizes):
        raise BadInput(f"mesh must have sizes of 1 or more and at most one -1, not {description}")
    known = math.prod(size for size in sizes if size != -1)
    sizes = [len(devices) // known if size == -1 else size for size in sizes]
    if math.prod(sizes) != len(devices):
        raise BadInput(
            f"mesh of {description} does not fit {len(devices)} devices: the product of its sizes must be that number, "
            f"or one size -1"
        )
    # Unlike jax.make_mesh, this lets a mesh axis split a torus axis, for example fsdp of 16 on v6e:8x8.
    device_array = mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    return Mesh(device_array, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def one_device(device: Any = None) -> Mesh:
    """Create a mesh of a single device, by default the first device of this process."""
    return make_mesh(MeshShape(), [jax.local_devices()[0] if device is None else device])


def replicated(mesh: Mesh) -> NamedSharding:
    """Return the sharding of arrays that are replicated on all devices of a mesh."""
    return NamedSharding(mesh, PartitionSpec())


def gather_to_first_device(tree: Any) -> Any:
    """Gather sharded arrays to the first device of this process; all processes must call this function.

    Arrays are transferred one at a time through host memory, which limits the peak device memory.
    """
    if jax.device_count() == 1:
        return tree
    first = jax.local_devices()[0]
    return jax.tree.map(
        lambda x: jax.device_put(multihost_utils.process_allgather(x, tiled=True), first), tree
    )
