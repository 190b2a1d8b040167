"""The mesh: all devices of a run, on all its hosts, along three axes; what one device does, it is the mesh of size 1 of."""

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
    """How many devices lie along each axis of the mesh; -1 at one of them is all that the others leave.

    Attributes:
        data: clips are split over it, and parameters are whole on each of its devices.
        fsdp: clips are split over it too, and so are parameters, optimiser and average, by the partition rules.
        frames: each clip is split over it, by frames where a layer looks within a frame and by pixels where it looks
            along time. Its devices are neighbours, since they exchange the most.
    """

    data: int = -1
    fsdp: int = 1
    frames: int = 1


def make_mesh(shape: MeshShape, devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of these devices, with the axes `data`, `fsdp` and `frames`.

    ```python
    mesh = make_mesh(MeshShape(fsdp=4))                       # all devices of all hosts
    mesh = make_mesh(MeshShape(frames=2), jax.devices()[:2])
    mesh = make_mesh(shape, topologies.get_topology_desc("v5e:4x4", "tpu").devices)   # none of them present
    ```

    Args:
        shape: sizes of the axes.
        devices: those of the mesh, or of a topology; `jax.devices()` without them.

    Raises:
        BadInput: the sizes do not multiply to the number of devices.
    """
    devices = jax.devices() if devices is None else list(devices)
    sizes = [getattr(shape, axis) for axis in AXES]
    told = ", ".join(f"{axis} = {size}" for axis, size in zip(AXES, sizes, strict=True))
    if sizes.count(-1) > 1 or any(size < 1 and size != -1 for size in sizes):
        raise BadInput(f"mesh must hold sizes of 1 or more and at most one -1, not {told}")
    known = math.prod(size for size in sizes if size != -1)
    sizes = [len(devices) // known if size == -1 else size for size in sizes]
    if math.prod(sizes) != len(devices):
        raise BadInput(
            f"mesh of {told} does not make {len(devices)} devices: its sizes must multiply to that, or one be -1"
        )
    # jax.make_mesh, but that an axis may be a part of an axis of any TPU's torus: fsdp of 16 on v6e:8x8
    placed = mesh_utils.create_device_mesh(sizes, devices, allow_split_physical_axes=True)
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def one_device(device: Any = None) -> Mesh:
    """The mesh of a single device, the first of this process without it."""
    return make_mesh(MeshShape(), [jax.local_devices()[0] if device is None else device])


def replicated(mesh: Mesh) -> NamedSharding:
    """The sharding of what every device of the mesh holds as a whole."""
    return NamedSharding(mesh, PartitionSpec())


def gathered(tree: Any) -> Any:
    """Arrays of a mesh, each as a whole on the first device of this process; all processes must call it.

    They go one by one by way of the host's memory, so that a device never holds more than it asked for.
    """
    if jax.device_count() == 1:
        return tree
    first = jax.local_devices()[0]
    return jax.tree.map(
        lambda x: jax.device_put(multihost_utils.process_allgather(x, tiled=True), first), tree
    )
