"""Latents of what conditions show of a video, which sampling and decoding can keep."""

import jax.numpy as jnp
import numpy as np

from vcjax.composer.compiled import encode_frames
from vcjax.composer.model import LoadedModel
from vcjax.composer.reading import ConditionReader
from vcjax.diffusion.sampler import Known


def shown_latents(model: LoadedModel, reader: ConditionReader) -> Known:
    """Return the latents of what conditions show of the video; a latent is known where all of its pixels are."""
    tiling = reader.tiling
    (frames, height, width), size = tiling.length, tiling.size[0]
    x0 = np.zeros((1, frames, height, width, model.networks.unet.latent_channels), np.float32)
    mask = np.zeros((1, frames, height, width, 1), np.float32)
    factor = model.networks.autoencoder.downsampling
    for first in range(0, frames, size):
        start = min(first, frames - size)
        for pixels, visible in reader.shown(start, (height * factor, width * factor)):
            parameters = model.parameters("autoencoder")
            x0[0, start : start + size] = encode_frames(model.networks.autoencoder, parameters, pixels).mean
            cells = np.asarray(visible).reshape(size, height, factor, width, factor)
            mask[0, start : start + size] = np.all(cells, axis=(2, 4))[..., None]
    return Known(x0=jnp.asarray(x0), mask=jnp.asarray(mask))
