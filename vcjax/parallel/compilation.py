"""How programs are compiled: with options that suit the device, and once on a machine, by a persistent cache."""

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jax.experimental.compilation_cache.compilation_cache import reset_cache

from vcjax.errors import VcjaxWarning
from vcjax.platforms import platform

CACHE_VARIABLE = "VCJAX_CACHE"

# By backend. XLA hands a CPU's convolutions, matrix products and sums to the library YNNPACK; its own are faster for the
# blocks of the UNet (docs/measurements.md). The option lists what YNNPACK gets: nothing.
COMPILER_OPTIONS = {"cpu": {"xla_cpu_experimental_ynn_fusion_type": ""}}
# Gradients of biases are long sums, which YNNPACK does in half the time of XLA's own: it gets those, and nothing else.
TRAINING_OPTIONS = {"cpu": {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"}}


class jit:
    """`jax.jit` with the compiler options that suit the default backend.

    ```python
    take = compilation.jit(take_steps, static_argnums=0)
    take(unet, ...)                   # like every program with compiler options, not from within another
    take.lower(unet, ...).compile()   # what a function of jax.jit has, it has
    ```

    `by_backend` are other options than `COMPILER_OPTIONS`. The backend is looked up when a program is first asked for, so
    that decorating a function starts none.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        by_backend: Mapping[str, dict[str, str]] = COMPILER_OPTIONS,
        **options: Any,
    ):
        """Take the function, compiler options by backend, and options of `jax.jit`."""
        functools.update_wrapper(self, function)
        self._by_backend = by_backend
        self._options = options

    @property
    def static(self) -> tuple[int, ...]:
        """Places of the inputs that are static."""
        places = self._options.get("static_argnums", ())
        return places if isinstance(places, tuple) else (places,)

    def afresh(self) -> "jit":
        """The same function, of which nothing is compiled yet."""

        @functools.wraps(self.__wrapped__)
        def function(*inputs: Any, **named: Any) -> Any:
            return self.__wrapped__(*inputs, **named)

        return jit(function, self._by_backend, **self._options)

    @functools.cached_property
    def _jitted(self) -> Any:
        options = self._by_backend.get(platform())
        return jax.jit(self.__wrapped__, compiler_options=options, **self._options)

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """What the function answers, compiled."""
        return self._jitted(*inputs, **named)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # those who only look at the function start no backend
            raise AttributeError(name)
        return getattr(self._jitted, name)


def cache_folder() -> Path:
    """Where compiled programs are kept: `$VCJAX_CACHE`, or `vcjax` in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vcjax"


def enable_cache() -> None:
    """Keep every compiled program of this process on disk, however small, and take those already there.

    A cache folder that JAX was already told of (by configuration or JAX_COMPILATION_CACHE_DIR) is left as it is. Where
    the folder cannot be made, a warning says so and nothing is kept.
    """
    chosen = jax.config.values["jax_compilation_cache_dir"]
    folder = Path(chosen) if chosen else cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(
            f"the cache folder {folder} cannot be made ({error.strerror}), so programs are compiled anew each time: "
            f"set {CACHE_VARIABLE} to a folder that can be written",
            VcjaxWarning,
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@contextmanager
def without_cache() -> Iterator[None]:
    """Inside, programs are compiled even if the cache has them: on a CPU one that came from there cannot be stored again."""
    before = jax.config.values["jax_enable_compilation_cache"]
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        reset_cache()  # which remembers whether it is used
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", before)
        reset_cache()
