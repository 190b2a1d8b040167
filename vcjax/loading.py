"""`load`: from a model's name or folder to a composer; parameters follow when they are first asked for."""

import functools
from collections.abc import Mapping
from importlib import resources
from os import PathLike
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from vcjax.composer import Composer, Defaults
from vcjax.conditions.base import ClipShape, Condition, MapCondition
from vcjax.conditions.catalogue import from_settings
from vcjax.conditions.style import Style
from vcjax.conditions.tokenizer import Tokenizer
from vcjax.diffusion.objective import check_prediction
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.parallel.compilation import enable_cache
from vcjax.weights.folder import TOKENIZER, read_component, read_config
from vcjax.weights.networks import Networks, networks_from_settings, random_parameters
from vcjax.weights.trees import Tree

BUILT_IN = ("tiny",)


def load(model: str | PathLike[str] = "tiny", *, dtype: Any = None, verify: bool = False) -> Composer:
    """A composer for a built-in model or a model folder.

    ```python
    composer = vcjax.load("tiny")
    composer = vcjax.load("models/videocomposer", dtype="bfloat16")
    ```

    Only what a call needs is read: parameters are loaded at the first use of their component, and of the condition
    encoders only those of the conditions that are given. Compiled programs are kept in the cache folder.

    Args:
        model: `tiny`, or the path of a model folder.
        dtype: type to compute and to hold parameters in; bfloat16 on an accelerator and float32 on a CPU without it.
        verify: compare the checksums of large files too.

    Raises:
        BadInput: no such model, or a damaged or unknown configuration.
    """
    enable_cache()
    folder = _folder(model)
    config = read_config(folder)
    dtype = jnp.dtype(dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16"))
    networks = networks_from_settings(config["networks"]).with_dtype(dtype)
    conditions = from_settings(config["conditions"])
    schedule = Schedule(**config["schedule"])
    check_prediction(config["prediction"], schedule)

    @functools.cache
    def parameters(component: str, encoder: str | None = None) -> Tree:
        if "untrained" in config:
            tree = _untrained(networks, conditions, config["untrained"])[component]
            tree = jax.tree.map(lambda x: jnp.asarray(x, dtype), tree)
        else:
            prefixes = ("",) if encoder is None else (f"{encoder}/",)
            tree = read_component(folder, config, component, prefixes=prefixes, dtype=dtype, verify=verify)
        return tree if encoder is None else tree[encoder]

    return Composer(
        name=config["name"],
        networks=networks,
        conditions=conditions,
        schedule=schedule,
        prediction=config["prediction"],
        shape=ClipShape(**config["clip"]),
        defaults=Defaults(**config["defaults"]),
        parameters=parameters,
        tokenize=Tokenizer(folder / TOKENIZER, networks.text.length),
    )


def _folder(model: str | PathLike[str]) -> Path:
    if model in BUILT_IN:
        return Path(str(resources.files("vcjax") / "builtin" / str(model)))
    folder = Path(model)
    if not folder.is_dir():
        raise BadInput(
            f"no model {str(model)!r}: built in is {', '.join(BUILT_IN)}; else give a model folder"
        )
    return folder


@functools.lru_cache(maxsize=1)
def _untrained_of(networks: Networks, channels: tuple, vectors: tuple, seed: int) -> Mapping[str, Tree]:
    return random_parameters(networks.shapes(dict(channels), dict(vectors)), seed)


def _untrained(networks: Networks, conditions: Mapping[str, Condition], seed: int) -> Mapping[str, Tree]:
    """Random parameters of all components, for a model whose configuration says that it is not trained yet."""
    channels = tuple((name, c.channels) for name, c in conditions.items() if isinstance(c, MapCondition))
    vectors = tuple((name, c.width) for name, c in conditions.items() if isinstance(c, Style))
    return _untrained_of(networks, channels, vectors, seed)
