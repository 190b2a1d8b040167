"""Placement of parameters and of a training state: on the devices and in the layout in which programs read them."""

from typing import Any

import jax
from jax.experimental.layout import Format, Layout
from jax.sharding import Mesh, Sharding, SingleDeviceSharding

from vcjax.parallel.rules import RULES, partition
from vcjax.platforms import default_device, platform

# cuDNN reads the kernel of a convolution, `[r, s, C, D]`, as `[D, r, s, C]`. In another layout each step would transpose it.
CONVOLUTION = Layout((3, 0, 1, 2))


def place(name: str, x: Any, mesh: Mesh | None = None) -> jax.Array:
    """Put a parameter on its device, or on the devices of a mesh.

    Args:
        name: component and path, such as `unet/conv_in/kernel`.
        x: array, of the host or of a device.
        mesh: device mesh, over which `RULES` shard the parameter; the default device if None.
    """
    return jax.device_put(x, placement(name, x, mesh))


def placement(name: str, x: Any, mesh: Mesh | None = None) -> Any:
    """Return where `place` puts an array, for shapes too; see there."""
    sharding = _sharding(name, x, mesh)
    if sharding is None and _is_convolution(x):
        sharding = SingleDeviceSharding(default_device())
    return with_layout(x, sharding)


def with_layout(x: Any, sharding: Any) -> Any:
    """Return a sharding of an array, with the layout of `place` where that is not the default one."""
    return Format(CONVOLUTION, sharding) if _is_convolution(x) else sharding


def _is_convolution(x: Any) -> bool:
    return platform() == "gpu" and x.ndim == 4


def _sharding(name: str, x: Any, mesh: Mesh | None) -> Sharding | None:
    return None if mesh is None else partition(mesh, RULES, {name: x})[name]
