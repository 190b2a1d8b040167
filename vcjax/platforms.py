"""For which platform programs are traced: the default backend's, unless they are planned for one that is not here.

And where what no accelerator should do is done.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import jax

_chosen: ContextVar[str | None] = ContextVar("platform", default=None)


def platform() -> str:
    """`cpu`, `gpu` or `tpu`: what a function that is being traced will run on, so that it can choose its form."""
    return _chosen.get() or jax.default_backend()


@contextmanager
def compiling_for(name: str) -> Iterator[None]:
    """Inside, functions are traced for another platform. What was traced before keeps its form."""
    token = _chosen.set(name)
    try:
        yield
    finally:
        _chosen.reset(token)


def on_cpu() -> AbstractContextManager[None]:
    """Inside, what is computed is computed by this host's processors, whatever accelerators there are."""
    return jax.default_device(jax.local_devices(backend="cpu")[0])
