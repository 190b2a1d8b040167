"""Networks that extract conditions from frames, as functions from host arrays to host arrays.

Each runs in batches of a fixed number of images, so that one program is compiled per image size.
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
MeanStd = tuple[tuple[float, ...], tuple[float, ...]]  # mean and standard deviation by RGB channel

HALF = (0.5, 0.5, 0.5)  # as mean and standard deviation, maps [0, 1] to [-1, 1]
# Normalisation of RGB input in [0, 1], by network. `cleaner` is missing: its input is not normalised.
NORMALISATION: dict[str, MeanStd] = {
    "vision": (clip.MEAN, clip.STD),
    "depth": (HALF, HALF),
    "sketch": (pidinet.MEAN, pidinet.STD),
}


def extractors(networks: Networks, parameters: Callable[[str], Tree]) -> dict[str, Extractor]:
    """Return the extraction networks of a model as functions, by name.

    `vision`, `depth` and `sketch` take frames `uint8 [F, H, W, 3]`; `cleaner` takes sketches with dark lines
    on a light background, `float32 [F, H, W, 1]` in [0, 1]. `vision` returns embeddings `[F, E]`, the others
    maps `[F, H, W, 1]`.

    Args:
        networks: networks of the model; those that it lacks are left out.
        parameters: returns the parameters of a component; called when the component is used.
    """
    modules = {name: getattr(networks, name) for name in EXTRACTION}
    return {
        name: partial(_extract, name, module, partial(parameters, name))
        for name, module in modules.items()
        if module is not None
    }


def _extract(
    name: str, module: Any, parameters: Callable[[], Tree], images: np.ndarray
) -> Float32[np.ndarray, "F ..."]:
    """Apply a network to images in batches; the last batch is padded by repeating the last image."""
    size = batch_size()
    outputs = []
    for i in range(0, len(images), size):
        batch = images[i : i + size]
        batch = np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)])
        outputs.append(predict(name, module, parameters(), batch))
    return np.concatenate(outputs)[: len(images)]


def batch_size() -> int:
    """Return the number of images per forward pass: one on a CPU, whose cores it occupies, else more."""
    return 1 if jax.default_backend() == "cpu" else 8


@partial(jax.jit, static_argnums=(0, 1))
def predict(name: str, module: Any, parameters: Tree, images: Array) -> Array:
    """Apply a network to a batch of images, which are uint8 for the networks in `NORMALISATION`."""
    if name in NORMALISATION:
        images = normalise(name, images.astype(jnp.float32) / 255)
    return apply(module, parameters, images)


def normalise(name: str, images: Float[Array, "N H W 3"]) -> Float[Array, "N H W 3"]:
    """Normalise images in [0, 1] as a network in `NORMALISATION` expects."""
    mean, std = map(jnp.array, NORMALISATION[name])
    return (images - mean) / std
