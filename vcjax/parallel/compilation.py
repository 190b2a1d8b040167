"""Compilation with compiler options by backend, and with a persistent cache on disk."""

import functools
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from vcjax.errors import VcjaxWarning
from vcjax.platforms import platform

CACHE_VARIABLE = "VCJAX_CACHE"
OPTIONS_VARIABLE = (
    "VCJAX_COMPILER_OPTIONS"  # `none` compiles without the options below, such as for another jaxlib
)

# XLA's CPU backend calls the library YNNPACK for convolutions, matrix products and reductions, but its own
# implementations are faster for the blocks of the UNet (docs/measurements.md). The option lists the
# operations for YNNPACK: none.
#
# XLA's GPU backend joins products of the same array, and then copies each of their results for attention. Of large products
# the copies cost more than the second read, so that only small ones are joined: those of tokens and of the timestep.
COMPILER_OPTIONS = {
    "cpu": {"xla_cpu_experimental_ynn_fusion_type": ""},
    "gpu": {"xla_gpu_dot_merger_threshold_mb": "4"},
}
# Bias gradients are long reductions, for which YNNPACK takes half the time of XLA: use it for these only.
TRAINING_OPTIONS = {
    "cpu": {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"},
    "gpu": COMPILER_OPTIONS["gpu"],
}


class jit:
    """`jax.jit` with compiler options for the platform that it is called on.

    ```python
    sample = compilation.jit(sample_steps, static_argnums=0)
    sample(unet, ...)                   # due to the options, not inside another jitted function
    sample.lower(unet, ...).compile()   # has all attributes of a jax.jit function
    ```

    The platform is determined by each call, so decorating a function does not initialise a backend.

    Args:
        function: function to compile.
        by_backend: compiler options by backend.
        **options: options of `jax.jit`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        by_backend: Mapping[str, dict[str, str]] = COMPILER_OPTIONS,
        **options: Any,
    ):
        """Wrap a function; see the class for the arguments."""
        functools.update_wrapper(self, function)
        self._by_backend = by_backend
        self._options = options
        self._by_platform: dict[str, Any] = {}

    @property
    def _jitted(self) -> Any:
        name = platform()
        if name not in self._by_platform:
            options = None if os.environ.get(OPTIONS_VARIABLE) == "none" else self._by_backend.get(name)
            # A function of its own: JAX shares what it has traced between jitted functions of one.
            function = functools.wraps(self.__wrapped__)(lambda *args, **kw: self.__wrapped__(*args, **kw))
            self._by_platform[name] = jax.jit(function, compiler_options=options, **self._options)
        return self._by_platform[name]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the compiled function."""
        return self._jitted(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # inspection of the function must not initialise a backend
            raise AttributeError(name)
        return getattr(self._jitted, name)


def cache_folder() -> Path:
    """Return the folder of the compilation cache: `$VCJAX_CACHE`, or `vcjax` in the user's cache folder."""
    folder = os.environ.get(CACHE_VARIABLE)
    if folder:
        return Path(folder)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vcjax"


def enable_cache() -> None:
    """Enable JAX's persistent compilation cache for all programs, regardless of size or compile time.

    Where a cache folder is configured in JAX (also by JAX_COMPILATION_CACHE_DIR), its configuration is left as it is. If
    the folder cannot be created, a warning is issued and the cache stays disabled.
    """
    if jax.config.values["jax_compilation_cache_dir"]:
        return
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        warnings.warn(
            f"the cache folder {folder} cannot be created ({error.strerror}), so programs are compiled in every process: "
            f"set {CACHE_VARIABLE} to a writable folder",
            VcjaxWarning,
            stacklevel=2,
        )
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
