"""Small pictures of latents without the decoder: a linear map from a latent to the colour of its pixels.

The latent of an autoencoder is nearly linear in the mean colour of the pixels that it stands for, so that a map fitted once
shows what is being sampled.
"""

import dataclasses

import numpy as np
from jaxtyping import Float, UInt8

Row = tuple[float, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LatentColours:
    """A linear map from latents to colours, `colour = latent @ matrix + bias`, in [-1, 1].

    Attributes:
        matrix: `[c, 3]`: for each channel of the latent its red, green and blue.
        bias: `[3]`.
    """

    matrix: tuple[Row, ...]
    bias: Row

    def frames(self, latents: Float[np.ndarray, "*B h w c"]) -> UInt8[np.ndarray, "*B h w 3"]:
        """Return pictures with one pixel for each latent."""
        colours = latents @ np.array(self.matrix, np.float32) + np.array(self.bias, np.float32)
        return ((np.clip(colours, -1, 1) + 1) * 127.5).round().astype(np.uint8)


def fit_latent_colours(
    latents: Float[np.ndarray, "N h w c"], frames: UInt8[np.ndarray, "N H W 3"]
) -> LatentColours:
    """Return the map of least squared error from latents to the mean colours of their pixels.

    Args:
        latents: latents of frames, such as the means of `encode_frames`.
        frames: the frames; H and W are multiples of h and w.
    """
    count, height, width, channels = latents.shape
    blocks = frames.reshape(count, height, frames.shape[1] // height, width, frames.shape[2] // width, 3)
    colours = blocks.mean((2, 4), dtype=np.float64).reshape(-1, 3) / 127.5 - 1
    columns = np.concatenate([latents.reshape(-1, channels), np.ones((len(colours), 1))], 1)
    found, *_ = np.linalg.lstsq(columns, colours, rcond=None)
    *matrix, bias = (tuple(float(f"{x:.5g}") for x in row) for row in found)
    return LatentColours(matrix=tuple(matrix), bias=bias)
