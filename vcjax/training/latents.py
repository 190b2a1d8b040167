"""Latents of clips that are seen again and again: encoded once for a run, and kept in its folder."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float16, Int

from vcjax.composer import Composer
from vcjax.data import sprites
from vcjax.files import replacing
from vcjax.models.autoencoder import Posterior
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree, flatten

AT_ONCE = 8  # clips


def kept_latents(composer: Composer, count: int, folder: Path) -> Float16[np.ndarray, "N F h w m"]:
    """Means and deviations of the latents of the training split's first clips, read as they are needed.

    They are encoded at the first call and read from the folder at the next ones, as long as the autoencoder's weights, the
    clip's shape and the count are the same.

    Args:
        composer: whose autoencoder and clip shape they are of.
        count: of clips.
        folder: to keep them in.
    """
    parameters = composer.parameters("autoencoder")
    path = folder / f"latents-{_digest(parameters, composer, count)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        encoder = _encoder(composer)
        encode = compilation.jit(encoder)
        shape = jax.eval_shape(encoder, parameters, np.arange(count, dtype=np.int32)).shape
        with replacing(path) as unfinished:
            kept = np.lib.format.open_memmap(unfinished, "w+", np.float16, shape)
            for first in range(0, count, AT_ONCE):
                indices = np.arange(
                    first, first + AT_ONCE, dtype=np.int32
                )  # some beyond the last: one program
                kept[first : first + AT_ONCE] = encode(parameters, indices)[: count - first]
            kept.flush()
    return np.load(path, mmap_mode="r")


def posterior_of(moments: Float16[Array, "B F h w m"]) -> Posterior:
    """What latents are drawn from, of what was kept."""
    mean, deviation = jnp.split(moments.astype(jnp.float32), 2, -1)
    return Posterior(mean=mean, deviation=deviation)


def _encoder(composer: Composer) -> Callable[[Tree, Int[Array, "B"]], Float16[Array, "B F h w m"]]:
    autoencoder, shape = composer.networks.autoencoder, composer.shape

    def encode(parameters: Tree, indices: Int[Array, "B"]) -> Float16[Array, "B F h w m"]:
        frames = sprites.batch("train", indices, frames=shape.frames, size=shape.height).frames
        images = frames.reshape(-1, *frames.shape[2:]).astype(jnp.float32) / 127.5 - 1
        answer = apply(autoencoder, parameters, images, method="encode")
        moments = jnp.concatenate([answer.mean, answer.deviation], -1).astype(jnp.float16)
        return moments.reshape(*frames.shape[:2], *moments.shape[1:])

    return encode


def _digest(parameters: Tree, composer: Composer, count: int) -> str:
    """Of all that latents depend on."""
    digest = hashlib.sha256(repr((composer.networks.autoencoder, composer.shape, count)).encode())
    for name, leaf in sorted(flatten(parameters).items()):
        digest.update(name.encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]
