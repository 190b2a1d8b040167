"""The compiled programs of composing: text and maps are encoded, steps are taken, latents become frames.

Each takes its network first, which is static, then parameters and arrays.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, UInt8

from vcjax.diffusion.ddim import Steps, sample
from vcjax.diffusion.guidance import guided
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.layout import ALONE, Layout
from vcjax.models.unet import UNet
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

STEPS_A_CALL = 5  # rows of the one compiled scan; progress is told between its calls
DECODED_AT_ONCE = 4 * 256 * 256  # pixels that the decoder holds at a time


@partial(compilation.jit, by_backend={}, static_argnums=0)
def encode_text(tower: Any, parameters: Tree, ids: Array) -> Array:
    """Hidden states of token ids."""
    return apply(tower, parameters, ids)


@partial(compilation.jit, by_backend={}, static_argnums=0)
def encode_tokens(encoder: Any, parameters: Tree, embeddings: Tree, present: Tree) -> tuple[Array, Array]:
    """Tokens and their key mask."""
    return apply(encoder, parameters, embeddings, present)


@partial(compilation.jit, by_backend={}, static_argnums=(0, 3, 4))
def encode_map(stc: Any, parameters: Tree, condition: Array, size: tuple[int, int], frames: int) -> Array:
    """One map condition at the latent's size, of a clip of so many frames. A still is encoded once."""
    return apply(stc, parameters, condition, size, numbers=jnp.arange(frames)[None])


@jax.jit
def add_map(total: Array, encoded: Array, weights: Array) -> Array:
    """Add one condition's encoding to the sum of each branch."""
    return total + weights[:, None, None, None, None] * encoded


@partial(compilation.jit, static_argnums=0, donate_argnums=2)
def take_steps(
    unet: UNet,
    parameters: Tree,
    z: Array,
    rows: Steps,
    keys: Array,
    maps: Array,
    tokens: Array,
    mask: Array,
    guidance: Array | float,
) -> Array:
    """A chunk of the trajectory; two rows of `maps` and `tokens` a clip are the two branches of guidance."""

    def denoise(z: Array, t: Array) -> Array:
        return apply(unet, parameters, z, t, maps, tokens, mask)

    two_branches = maps.shape[0] == 2 * z.shape[0]
    z = sample(guided(denoise, guidance) if two_branches else denoise, z, rows, keys)
    return unet.layout.whole(z)  # as it came, for the next call


@partial(compilation.jit, static_argnums=(0, 3))
def decode(
    autoencoder: Autoencoder, parameters: Tree, latents: Array, layout: Layout = ALONE
) -> UInt8[Array, "F H W 3"]:
    """Latents of a clip to frames, a few at a time; several devices share the frames if these are enough for all."""
    frames, height, width, _ = latents.shape
    pixels = height * width * autoencoder.factor**2
    at_once = min(frames, max(1, DECODED_AT_ONCE // pixels))

    def decoded(parameters: Tree, latents: Array) -> Array:
        def one(latent: Array) -> Array:
            return apply(autoencoder, parameters, latent[None], method="decode")[0]

        return jax.lax.map(one, latents, batch_size=min(at_once, len(latents)))

    images = layout.suited(frames, 1, few=True).each_image(decoded)(parameters, latents)
    return (jnp.clip(images * 0.5 + 0.5, 0, 1) * 255).round().astype(jnp.uint8)
