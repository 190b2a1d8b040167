"""Encoders of stills that begin as those of sequences which show the same, learned from every frame of a clip."""

import jax
import jax.numpy as jnp
from einops import rearrange
from jaxtyping import Array, Float

from vcjax.weights.trees import Tree

MASK_CHANNELS = 4  # RGB in [-1, 1] where it is visible, and whether it is


def stills_of_sequences(stc: Tree) -> Tree:
    """The encoders of a model with that of `single_sketch` as that of `sketch`, and of `image` as that of `mask`.

    An image from 0 to 1 is then encoded as footage from -1 to 1 of which nothing is hidden (but for the outermost pixels,
    since a convolution's border has nothing visible in the one case and grey in the other). Where a model has one of the
    two only, it stays as it is. Encoders that know frame numbers begin with the still in the first frame and nothing in
    later ones: what footage that never moves would say of those is wrong as often as not, and a UNet that believes it would
    first learn to believe no still.
    """
    stc = dict(stc)
    if {"sketch", "single_sketch"} <= stc.keys():
        stc["single_sketch"] = _of_first_frame(_copied(stc["sketch"]))
    if {"mask", "image"} <= stc.keys():
        first, bias = _of_visible(*(jnp.asarray(stc["mask"]["conv_0"][name]) for name in ("kernel", "bias")))
        stc["image"] = _of_first_frame({**_copied(stc["mask"]), "conv_0": {"kernel": first, "bias": bias}})
    return stc


def _of_first_frame(encoder: Tree) -> Tree:
    """The encoder with a scale of one in the first frame and of zero in others, and no shift, where it knows them."""
    if "frame_number" not in encoder:
        return encoder
    kernel, bias = (jnp.zeros_like(encoder["frame_number"][name]) for name in ("kernel", "bias"))
    features = bias.size // 2
    kernel, bias = kernel.at[-1, :features].set(1), bias.at[:features].set(-1)
    return {**encoder, "frame_number": {"kernel": kernel, "bias": bias}}


def _copied(tree: Tree) -> Tree:
    """Arrays of its own: a training step takes those that it is given."""
    return jax.tree.map(jnp.array, tree)


def _of_visible(
    kernel: Float[Array, "3 3 M D"], bias: Float[Array, "D"]
) -> tuple[Float[Array, "3 3 I D"], Float[Array, "D"]]:
    """The layer on an image that answers as the given one does on masks of 2 image - 1 with everything visible."""
    by_channel = rearrange(kernel, "r s (p c) d -> r s p c d", c=MASK_CHANNELS)
    colour, visible = by_channel[..., :-1, :], by_channel[..., -1, :]
    of_image = rearrange(2 * colour, "r s p c d -> r s (p c) d")
    return of_image, bias + (visible - colour.sum(-2)).sum((0, 1, 2))
