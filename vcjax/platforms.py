"""The platform that functions are traced for, and placement of computations on the CPU.

The platform is that of the default device, except when programs are compiled ahead of time for absent devices.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any

import jax

_platform: ContextVar[str | None] = ContextVar("platform", default=None)


def platform() -> str:
    """Return the platform that functions are traced for: `cpu`, `gpu` or `tpu`.

    It is that of `compiling_for`, else that of JAX's default device (`jax.default_device`), else the default backend.
    """
    if found := _platform.get():
        return found
    device = jax.config.values["jax_default_device"]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def default_device() -> Any:
    """Return the device that JAX computes on where nothing else is said."""
    device = jax.config.values["jax_default_device"]
    if device is None:
        return jax.local_devices()[0]
    return jax.local_devices(backend=device)[0] if isinstance(device, str) else device


@contextmanager
def compiling_for(name: str) -> Iterator[None]:
    """Trace functions for another platform inside this context; functions traced before are not traced again.

    Args:
        name: `cpu`, `gpu` or `tpu`.
    """
    token = _platform.set(name)
    try:
        yield
    finally:
        _platform.reset(token)


def on_cpu() -> AbstractContextManager[None]:
    """Run computations on the CPU of this host inside this context, even if accelerators are present."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])
