"""The networks that conditions are extracted with, as functions from host arrays to host arrays.

Each is one compiled program for pictures of one size, which sees the same number of them at every call.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32

from vcjax.models import clip, pidinet
from vcjax.weights.networks import EXTRACTION, Networks, apply
from vcjax.weights.trees import Tree

Extractor = Callable[[np.ndarray], np.ndarray]
Normal = tuple[tuple[float, ...], tuple[float, ...]]  # mean and deviation of red, green and blue

HALF = (0.5, 0.5, 0.5)  # as mean and deviation, this takes [0, 1] to [-1, 1]
# What the networks that take pictures want red, green and blue in [0, 1] normalised with.
NORMALS: dict[str, Normal] = {
    "vision": (clip.MEAN, clip.DEVIATION),
    "depth": (HALF, HALF),
    "sketch": (pidinet.MEAN, pidinet.DEVIATION),
}


def extractors(networks: Networks, parameters: Callable[[str], Tree]) -> dict[str, Extractor]:
    """The networks of extraction that a model has, by name.

    `vision`, `depth` and `sketch` take frames `uint8 [F, H, W, 3]`, `cleaner` takes dark lines on a light ground,
    `float32 [F, H, W, 1]` in [0, 1]. `vision` gives embeddings `[F, E]`, the others maps `[F, H, W, 1]`.

    Args:
        networks: of the model.
        parameters: gives the parameters of a component; asked at the first call.
    """
    modules = {name: getattr(networks, name) for name in EXTRACTION}
    return {
        name: partial(_extract, name, module, partial(parameters, name))
        for name, module in modules.items()
        if module is not None
    }


def _extract(
    name: str, module: Any, parameters: Callable[[], Tree], pictures: np.ndarray
) -> Float32[np.ndarray, "F ..."]:
    """What a network says of pictures, a few at a time; the last few are filled up with the last one."""
    at_once = pictures_at_once()
    answers = []
    for i in range(0, len(pictures), at_once):
        few = pictures[i : i + at_once]
        few = np.concatenate([few, np.repeat(few[-1:], at_once - len(few), axis=0)])
        answers.append(answer(name, module, parameters(), few))
    return np.concatenate(answers)[: len(pictures)]


def pictures_at_once() -> int:
    """How many pictures a network sees at once: on a CPU one fills all cores, an accelerator wants more."""
    return 1 if jax.default_backend() == "cpu" else 8


@partial(jax.jit, static_argnums=(0, 1))
def answer(name: str, module: Any, parameters: Tree, pictures: Array) -> Array:
    """What a network says of a few pictures; those that are to be normalised are of 8 bits."""
    if name in NORMALS:
        pictures = normalised(name, pictures.astype(jnp.float32) / 255)
    return apply(module, parameters, pictures)


def normalised(name: str, pictures: Float[Array, "N H W 3"]) -> Float[Array, "N H W 3"]:
    """Pictures in [0, 1] as a network of `NORMALS` takes them."""
    mean, deviation = map(jnp.array, NORMALS[name])
    return (pictures - mean) / deviation
