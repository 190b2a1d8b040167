"""The persistent compilation cache: a program compiled once on a machine is not compiled again."""

import os
import warnings
from pathlib import Path

import jax

from vcjax.errors import VcjaxWarning

CACHE_VARIABLE = "VCJAX_CACHE"


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
