"""Sampling and decoding of latents: loops that know no condition, only what is encoded of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vcjax.composer.compiled import STEPS_PER_CALL, decode, sample_chunk
from vcjax.composer.denoising import Passes
from vcjax.composer.encoding import EncodedConditions
from vcjax.composer.model import LoadedModel
from vcjax.composer.request import Request
from vcjax.diffusion.sampler import Steps, sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.diffusion.schedule import Schedule
from vcjax.errors import BadInput
from vcjax.models.layout import Layout
from vcjax.progress import ProgressCallback


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The latents x0 as estimated in the middle of sampling.

    Attributes:
        completed: steps that are done.
        total: steps in all.
        latents: estimate, `[B, F, h, w, c]`.
    """

    completed: int
    total: int
    latents: Float[Array, "B F h w c"]


StepCallback = Callable[[Estimate], bool]  # called after each chunk of steps; True stops


def sample_latents(
    model: LoadedModel,
    request: Request,
    encoded: EncodedConditions,
    progress: ProgressCallback,
    on_step: StepCallback | None = None,
) -> Float[Array, "B F h w c"]:
    """Sample a latent for each seed of a request.

    Args:
        model: model whose UNet is used.
        request: complete request, see `complete_request`.
        encoded: its conditions.
        progress: called before compilation and after each chunk of steps.
        on_step: called with an estimate of the result after each chunk but the last. If it returns True, the estimate is
            the result.

    Raises:
        BadInput: steps, eta or spacing are out of range, or latents are not finite.
    """
    sampler, seeds = sampler_named(request.sampler or model.defaults.sampler), request.seeds
    table = sampling_steps(
        sampler, model.schedule, request.steps or 0, prediction=model.prediction, eta=request.eta,
        spacing=request.spacing,
    )  # fmt: skip
    keys = [jax.random.split(jax.random.key(seed)) for seed in seeds]
    latent = (*encoded.maps.shape[1:4], model.networks.unet.latent_channels)
    z = model.replicate(jnp.stack([jax.random.normal(initial, latent) for initial, _ in keys]))
    step_keys = jnp.stack([step_key for _, step_key in keys])
    # Rows of the first branch for all seeds, then rows of the next branch.
    given = tuple(
        model.replicate(jnp.repeat(x, len(seeds), 0)) for x in (encoded.maps, encoded.tokens, encoded.mask)
    )
    weights = np.array(request.guidance, np.float32)
    rescale = np.float32(request.guidance_rescale) if request.guidance_rescale and weights.size else None
    progress("loading weights", 0, 0)
    parameters = model.parameters("unet")
    passes = passes_of(request)

    def run_chunk(state: Any, rows: Any, guided: bool) -> Any:
        # Without guidance the last branch alone is evaluated.
        settings = (*given, weights, rescale) if guided else (*(x[-len(seeds) :] for x in given), weights[:0])
        unet, reused = model.networks.unet, passes if guided or passes.deep else Passes()
        return sample_chunk(sampler, unet, reused, parameters, state, rows, step_keys, *settings)

    size = -(-STEPS_PER_CALL // passes.every) * passes.every
    chunks = [
        (rows, guided)
        for part, guided in guided_parts(table, model.schedule, request.guidance_interval)
        for rows in part.chunks(size)
    ]
    progress("compiling the sampler", 0, 0)
    state = sampler.init(z)
    for guided in {guided for _, guided in chunks}:  # compiles, and takes no step
        state, _ = run_chunk(state, chunks[0][0].none(), guided)
    state, estimate = _run(run_chunk, state, chunks, len(table), progress, on_step)
    z = sampler.latents(state) if estimate is None else estimate
    if not jnp.isfinite(z).all():
        raise BadInput(
            f"sampling ended in NaN or infinity: guidance {', '.join(f'{w:g}' for w in weights) or 'none'} or a "
            f"strength is too large, or the weights of model {model.name} are damaged"
        )
    return z


def _run(
    run_chunk: Callable[[Any, Steps, bool], tuple[Any, Array]],
    state: Any,
    chunks: Sequence[tuple[Steps, bool]],
    total: int,
    progress: ProgressCallback,
    on_step: StepCallback | None,
) -> tuple[Any, Array | None]:
    """Run chunks of steps; return the last state, and the estimate of x0 where `on_step` has stopped."""
    completed = 0
    for rows, guided in chunks:
        before, (state, x0) = state, run_chunk(state, rows, guided)
        if on_step is None:
            jax.block_until_ready(before)  # so that the next chunk is always waiting for the device
            progress("sampling", completed, total)
        completed += int(rows.count)
        if on_step is not None and completed < total:
            jax.block_until_ready(x0)
            progress("sampling", completed, total)
            if on_step(Estimate(completed, total, x0)):
                return state, x0
    jax.block_until_ready(state)
    progress("sampling", total, total)
    return state, None


def guided_parts(
    table: Steps, schedule: Schedule, interval: tuple[float, ...] | None
) -> Iterator[tuple[Steps, bool]]:
    """Yield runs of steps inside and outside the interval of noise levels with guidance, and whether they are guided.

    Guidance outside a limited interval costs time and diversity (arXiv 2404.07724).
    """
    alpha_bar = schedule.alpha_bar[table.t]
    with np.errstate(divide="ignore"):
        noise = np.sqrt((1 - alpha_bar) / alpha_bar)
    low, high = interval or (0.0, np.inf)
    guided = (low <= noise) & (noise <= high)
    first = 0
    for end in [*np.flatnonzero(np.diff(guided)) + 1, len(table)]:
        yield table[first:end], bool(guided[first])
        first = end


def passes_of(request: Request) -> Passes:
    """Return which evaluations of the network the steps of a request take."""
    deep, difference = request.reuse_every > 1, request.guidance_every > 1
    return Passes(max(request.reuse_every, request.guidance_every), deep, difference)


def decode_latents(model: LoadedModel, z: Float[Array, "B F h w c"]) -> list[UInt8[Array, "F H W 3"]]:
    """Decode latents to the frames of each clip, one clip after another."""
    parameters, layout = model.parameters("autoencoder"), Layout(model.mesh)
    return [decode(model.networks.autoencoder, parameters, latents, layout) for latents in z]
