"""Compiled functions of the pipeline: encoding of conditions and frames, sampling, decoding.

The first argument of each is its network, which is static; parameters and arrays follow.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, UInt8

from vcjax.composer.denoising import FRESH_BLOCKS, Passes, denoiser
from vcjax.diffusion.sampler import Known, Sampler, Steps, sample
from vcjax.diffusion.windows import Tiling, Windows, cut, merge
from vcjax.models.autoencoder import Autoencoder, Posterior
from vcjax.models.layout import SINGLE_DEVICE, Layout
from vcjax.models.unet import UNet
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

STEPS_PER_CALL = 5  # sampling steps of one call of `sample_chunk`; progress is reported between calls
PIXELS_PER_CHUNK = 4 * 256 * 256  # pixels that the autoencoder processes at a time


@partial(compilation.jit, by_backend={}, static_argnums=0)
def encode_text(tower: Any, parameters: Tree, ids: Array) -> Array:
    """Return the hidden states of token ids."""
    return apply(tower, parameters, ids)


@partial(compilation.jit, by_backend={}, static_argnums=0)
def encode_tokens(encoder: Any, parameters: Tree, embeddings: Tree, present: Tree) -> tuple[Array, Array]:
    """Return the tokens of conditions and their key mask; see `vcjax.models.tokens.TokenEncoder`."""
    return apply(encoder, parameters, embeddings, present)


@partial(compilation.jit, by_backend={}, static_argnums=(0, 3, 4))
def encode_map(stc: Any, parameters: Tree, condition: Array, size: tuple[int, int], frames: int) -> Array:
    """Encode a map condition to the size of the latent; see `vcjax.models.stc.STCEncoder`."""
    return apply(stc, parameters, condition, size, frame_index=jnp.arange(frames)[None])


@jax.jit
def add_map(total: Array, encoded: Array, weights: Array) -> Array:
    """Add the encoding of a condition to the sum of each branch, with weights `[G, #F, #h, #w, 1]`."""
    return total + weights * encoded


@partial(jax.jit, donate_argnums=0)
def put_window(windows: Array, maps: Array, index: Any) -> Array:
    """Set the maps of a window in the array of all windows, in place."""
    return windows.at[index].set(maps)


@struct.dataclass
class WindowedInputs:
    """What the UNet sees of a clip of several windows, beside its maps `[U, G, f, H, W, m]` and tokens `[P, G, L, D]`.

    Attributes:
        windows: the windows.
        prompt: index of the tokens of each window in time, `[U]`.
        placement: which placement of the windows each timestep has, `[T]`.
        tiling: what the windows are made from.
    """

    windows: Windows
    prompt: Any
    placement: Any
    tiling: Tiling = struct.field(pytree_node=False)


@partial(compilation.jit, static_argnums=(0, 1, 2))
def sample_chunk(
    sampler: Sampler,
    unet: UNet,
    passes: Passes,
    parameters: Tree,
    state: Any,
    rows: Steps,
    keys: Array,
    maps: Array,
    tokens: Array,
    mask: Array,
    weights: Array | Any,
    rescale: Array | Any = None,
    windowed: WindowedInputs | None = None,
    known: Known | None = None,
) -> tuple[Any, Array]:
    """Take a chunk of the sampling steps.

    Args:
        sampler: sampling method.
        unet: denoising network.
        passes: which evaluations of the network the steps take.
        parameters: its parameters.
        state: state of the sampler, with latents `[B, F, h, w, c]`.
        rows: sampling steps.
        keys: keys of the sampler's noise, `[B]`.
        maps: summed encodings of maps, `[G B, F, h, w, m]`: the rows of the first branch of guidance, then those of
            the next.
        tokens: tokens, `[G B, L, D]`.
        mask: key mask of the tokens, `[G B, L]`.
        weights: guidance weights, `[G - 1]`.
        rescale: see `vcjax.diffusion.guidance.combine`.
        windowed: windows of the clip; maps, tokens and mask are then as there. None for a clip of one window.
        known: what is known of the latents; None for nothing.

    Returns:
        State after the last step, and the estimate of x0 there, `[B, F, h, w, c]`.
    """

    def network(z: Array, t: Array, *, last: bool = False, deep: Any = None, keep: bool = False) -> Any:
        count = 1 if last else weights.shape[0] + 1
        if windowed is not None:
            return _merged(
                unet, parameters, windowed, z, t, maps[:, -count:], tokens[:, -count:], mask[:, -count:]
            ), None
        rows = slice(-z.shape[0], None) if last else slice(None)
        z, t = (jnp.concatenate([x] * count) for x in (z, t))
        fresh = FRESH_BLOCKS if keep or deep is not None else None
        inputs = (z, t, maps[rows], tokens[rows], mask[rows])
        out = apply(unet, parameters, *inputs, fresh_blocks=fresh, deep=deep)
        return out if keep else (out, None)

    state, x0 = sample(sampler, denoiser(network, weights, rescale, passes), state, rows, keys, known)
    # Sharded as the input, for the next call.
    return jax.tree.map(unet.layout.replicated, state), unet.layout.replicated(x0)


def _merged(
    unet: UNet,
    parameters: Tree,
    windowed: WindowedInputs,
    z: Array,
    t: Array,
    maps: Array,
    tokens: Array,
    mask: Array,
) -> Array:
    """Return the merged predictions of all windows, `[G B, N, H, W, c]`."""
    tiling, branches, seeds = windowed.tiling, maps.shape[1], z.shape[0]

    def rows(x: Array) -> Array:  # [n, G, ...] -> [n G B, ...]
        return jnp.repeat(x.reshape(-1, *x.shape[2:]), seeds, 0)

    def predict(pieces: Array, clips: Array, starts: Array) -> Array:
        count = pieces.shape[0]
        pieces = jnp.broadcast_to(pieces[:, None], (count, branches, *pieces.shape[1:]))
        origin = starts.at[:, 0].set(0)  # maps of a window are cut in space alone
        local = jnp.stack([cut(maps[clips[i]], origin[i], tiling.size) for i in range(count)])
        prompt = jnp.asarray(windowed.prompt)[clips]
        out = apply(
            unet,
            parameters,
            pieces.reshape(-1, *pieces.shape[3:]),
            jnp.full(count * branches * seeds, t[0]),
            rows(local),
            rows(tokens[prompt]),
            rows(mask[prompt]),
        )
        return out.reshape(count, branches * seeds, *out.shape[1:])

    placement = jnp.asarray(windowed.placement)[t[0]]
    return merge(predict, z, windowed.windows, placement, tiling, branches)


@partial(compilation.jit, static_argnums=0)
def encode_frames(autoencoder: Autoencoder, parameters: Tree, frames: UInt8[Array, "F H W 3"]) -> Posterior:
    """Encode frames to the posteriors of their latents, in chunks of frames."""

    def encode_frame(frame: Array) -> Posterior:
        image = frame.astype(jnp.float32) / 127.5 - 1
        posterior = apply(autoencoder, parameters, image[None], method="encode")
        return jax.tree.map(lambda x: x[0], posterior)

    return jax.lax.map(encode_frame, frames, batch_size=_chunk(*frames.shape[:3]))


@partial(compilation.jit, static_argnums=(0, 3))
def decode(
    autoencoder: Autoencoder, parameters: Tree, latents: Array, layout: Layout = SINGLE_DEVICE
) -> UInt8[Array, "F H W 3"]:
    """Decode the latents of a clip to frames, in chunks of frames, sharded over the devices of the layout."""
    frames, height, width, _ = latents.shape
    factor = autoencoder.downsampling
    chunk = _chunk(frames, height * factor, width * factor)

    def decode_shard(parameters: Tree, latents: Array) -> Array:
        def decode_frame(latent: Array) -> Array:
            return apply(autoencoder, parameters, latent[None], method="decode")[0]

        return jax.lax.map(decode_frame, latents, batch_size=min(chunk, len(latents)))

    images = layout.for_batch(frames, 1, allow_replication=True).map_images(decode_shard)(parameters, latents)
    return (jnp.clip(images * 0.5 + 0.5, 0, 1) * 255).round().astype(jnp.uint8)


def _chunk(frames: int, height: int, width: int) -> int:
    """Return the number of frames that the autoencoder processes at a time."""
    return min(frames, max(1, PIXELS_PER_CHUNK // (height * width)))
