"""The persistent compilation cache: a program compiled once on a machine is not compiled again."""

import os
from pathlib import Path

import jax

from vcjax.errors import BadInput

CACHE_VARIABLE = "VCJAX_CACHE"


def cache_folder() -> Path:
    """Where compiled programs are kept: `$VCJAX_CACHE`, or `vcjax` in the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vcjax"


def enable_cache() -> Path:
    """Keep every compiled program of this process on disk, however small, and take those already there.

    A cache folder that JAX was already told of (by configuration or JAX_COMPILATION_CACHE_DIR) is left as it is.

    Raises:
        BadInput: the folder cannot be made.
    """
    chosen = jax.config.values["jax_compilation_cache_dir"]
    folder = Path(chosen) if chosen else cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"the cache folder {folder} cannot be made ({error.strerror}): "
            f"set {CACHE_VARIABLE} to a folder that can be written"
        ) from error
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return folder
