"""Sampling and decoding of latents: loops that know no condition, only what is encoded of them."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vcjax.composer.compiled import STEPS_PER_CALL, decode, sample_chunk
from vcjax.composer.encoding import EncodedConditions
from vcjax.composer.model import LoadedModel
from vcjax.composer.request import Request
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.errors import BadInput
from vcjax.models.layout import Layout
from vcjax.progress import ProgressCallback


def sample_latents(
    model: LoadedModel, request: Request, encoded: EncodedConditions, progress: ProgressCallback
) -> Float[Array, "B F h w c"]:
    """Sample a latent for each seed of a request.

    Args:
        model: model whose UNet is used.
        request: complete request, see `complete_request`.
        encoded: its conditions.
        progress: called before compilation and after each chunk of steps.

    Raises:
        BadInput: steps, eta or spacing are out of range, or latents are not finite.
    """
    sampler, seeds = sampler_named(request.sampler), request.seeds
    table = sampling_steps(
        sampler, model.schedule, request.steps or 0, prediction=model.prediction, eta=request.eta,
        spacing=request.spacing,
    )  # fmt: skip
    keys = [jax.random.split(jax.random.key(seed)) for seed in seeds]
    latent = (*encoded.maps.shape[1:4], model.networks.unet.latent_channels)
    z = model.replicate(jnp.stack([jax.random.normal(initial, latent) for initial, _ in keys]))
    step_keys = jnp.stack([step_key for _, step_key in keys])
    # Rows of the first branch for all seeds, then rows of the next branch.
    maps, tokens, mask = (
        model.replicate(jnp.repeat(x, len(seeds), 0)) for x in (encoded.maps, encoded.tokens, encoded.mask)
    )
    weights = np.array(request.guidance, np.float32)
    progress("loading weights", 0, 0)
    parameters = model.parameters("unet")

    def run_chunk(state: Any, rows: Any) -> Any:
        unet = model.networks.unet
        return sample_chunk(sampler, unet, parameters, state, rows, step_keys, maps, tokens, mask, weights)

    chunks = table.chunks(STEPS_PER_CALL)
    progress("compiling the sampler", 0, 0)
    state = run_chunk(sampler.init(z), chunks[0].none())  # compiles, and takes no step
    progress("sampling", 0, len(table))
    for i, rows in enumerate(chunks):
        before, state = state, run_chunk(state, rows)
        if i > 0:
            jax.block_until_ready(before)  # so that the next chunk is always waiting for the device
            progress("sampling", i * STEPS_PER_CALL, len(table))
    jax.block_until_ready(state)
    progress("sampling", len(table), len(table))
    z = sampler.latents(state)
    if not jnp.isfinite(z).all():
        raise BadInput(
            f"sampling ended in NaN or infinity: guidance {', '.join(f'{w:g}' for w in weights) or 'none'} or a "
            f"strength is too large, or the weights of model {model.name} are damaged"
        )
    return z


def decode_latents(model: LoadedModel, z: Float[Array, "B F h w c"]) -> list[UInt8[Array, "F H W 3"]]:
    """Decode latents to the frames of each clip, one clip after another."""
    parameters, layout = model.parameters("autoencoder"), Layout(model.mesh)
    return [decode(model.networks.autoencoder, parameters, latents, layout) for latents in z]
