"""Cache of the posteriors of the first training clips, encoded once and stored in a folder."""

import hashlib
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float16

from vcjax.composer.compiled import encode_frames
from vcjax.composer.composer import Composer
from vcjax.data import sprites
from vcjax.files import replacing
from vcjax.models.autoencoder import Posterior
from vcjax.weights.trees import Tree, flatten

CHUNK = 8  # clips per call of the renderer and the encoder


def cached_latents(composer: Composer, count: int, folder: Path) -> Float16[np.ndarray, "N F h w m"]:
    """Return means and standard deviations of the latents of the first training clips, memory-mapped.

    They are encoded at the first call and read from the folder afterwards, until the autoencoder's weights,
    the clip shape or the count change.

    Args:
        composer: model with the autoencoder and the clip shape.
        count: number of clips N.
        folder: folder of the cache.
    """
    parameters, shape = composer.parameters("autoencoder"), composer.shape
    path = folder / f"latents-{_digest(parameters, composer, count)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        height, width, channels = composer.latent_shape()
        with replacing(path) as unfinished:
            size = (count, shape.frames, height, width, 2 * channels)
            moments = np.lib.format.open_memmap(unfinished, "w+", np.float16, size)
            for first in range(0, count, CHUNK):
                # The last chunk goes beyond the last clip, so that all chunks have the same compiled program.
                indices = np.arange(first, first + CHUNK, dtype=np.int32)
                clips = sprites.batch("train", indices, frames=shape.frames, size=shape.height).frames
                posterior = encode_frames(
                    composer.networks.autoencoder, parameters, clips.reshape(-1, *clips.shape[2:])
                )
                chunk = np.concatenate([posterior.mean, posterior.std], -1).astype(np.float16)
                moments[first : first + CHUNK] = chunk.reshape(CHUNK, *size[1:])[: count - first]
            moments.flush()
    return np.load(path, mmap_mode="r")


def posterior_of(moments: Float16[Array, "B F h w m"]) -> Posterior:
    """Return the posterior for cached means and standard deviations."""
    mean, std = jnp.split(moments.astype(jnp.float32), 2, -1)
    return Posterior(mean=mean, std=std)


def _digest(parameters: Tree, composer: Composer, count: int) -> str:
    """Return a checksum of everything that the latents depend on."""
    digest = hashlib.sha256(repr((composer.networks.autoencoder, composer.shape, count)).encode())
    for name, leaf in sorted(flatten(parameters).items()):
        digest.update(name.encode())
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()[:16]
