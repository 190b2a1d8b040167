"""Sampling and decoding of latents: loops that know no condition, only what is encoded of them."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vcjax.composer.compiled import STEPS_PER_CALL, WindowedInputs, decode, sample_chunk
from vcjax.composer.denoising import Passes
from vcjax.composer.encoding import Active, EncodedConditions
from vcjax.composer.model import LoadedModel
from vcjax.composer.request import Request
from vcjax.composer.strength import strength_of
from vcjax.diffusion.sampler import Known, Steps, sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.diffusion.windows import Tiling, repeated_noise
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


@dataclasses.dataclass(frozen=True)
class Phase:
    """Steps that are taken alike.

    Attributes:
        rows: the steps.
        guided: whether all branches of guidance are evaluated, or the last one alone.
        active: names of the conditions that are present.
    """

    rows: Steps
    guided: bool
    active: Active


def phases_of(model: LoadedModel, request: Request) -> list[Phase]:
    """Divide the steps of a request by where guidance and conditions are present.

    Guidance outside a limited interval costs time and diversity (arXiv 2404.07724).

    Args:
        model: model whose schedule is used.
        request: complete request, see `complete_request`.

    Raises:
        BadInput: steps, eta or spacing are out of range.
    """
    table = sampling_steps(
        sampler_named(request.sampler or model.defaults.sampler),
        model.schedule,
        request.steps or 0,
        prediction=model.prediction,
        eta=request.eta,
        spacing=request.spacing,
    )
    alpha_bar = model.schedule.alpha_bar[table.t]
    with np.errstate(divide="ignore"):
        noise = np.sqrt((1 - alpha_bar) / alpha_bar)
    low, high = request.guidance_interval or (0.0, np.inf)
    guided = (low <= noise) & (noise <= high)
    present = {
        name: strength_of(name, given.strength).active(table.t, len(model.schedule.alpha_bar))
        for name, given in request.conditions.items()
    }
    keys = [
        (bool(guided[i]), frozenset(name for name, there in present.items() if there[i]))
        for i in range(len(table))
    ]
    ends = [i for i in range(1, len(keys)) if keys[i] != keys[i - 1]] + [len(keys)]
    return [Phase(table[first:end], *keys[first]) for first, end in itertools.pairwise([0, *ends])]


def sample_latents(
    model: LoadedModel,
    request: Request,
    phases: Sequence[Phase],
    encoded: Mapping[Active, EncodedConditions],
    tiling: Tiling,
    progress: ProgressCallback,
    on_step: StepCallback | None = None,
    known: Known | None = None,
) -> Float[Array, "B N H W c"]:
    """Sample a latent for each seed of a request.

    Args:
        model: model whose UNet is used.
        request: complete request, see `complete_request`.
        phases: its steps.
        encoded: its conditions, by those that are present in a phase.
        tiling: windows of the latents.
        progress: called before compilation and after each chunk of steps.
        on_step: called with an estimate of the result after each chunk but the last. If it returns True, the estimate is
            the result.
        known: what is known of the latents.

    Raises:
        BadInput: latents are not finite.
    """
    sampler, seeds = sampler_named(request.sampler or model.defaults.sampler), request.seeds
    keys = [jax.random.split(jax.random.key(seed)) for seed in seeds]
    z = model.replicate(
        jnp.stack([_noise(model, request, tiling, *pair) for pair in zip(seeds, keys, strict=True)])
    )
    step_keys = jnp.stack([step_key for _, step_key in keys])
    weights = np.array(request.guidance, np.float32)
    rescale = np.float32(request.guidance_rescale) if request.guidance_rescale and weights.size else None
    progress("loading weights", 0, 0)
    parameters = model.parameters("unet")
    known = known and jax.tree.map(model.replicate, known)
    passes, unet = passes_of(request), model.networks.unet
    windowed = None if tiling.whole else _windowed(model, phases, tiling, encoded)
    if windowed is not None and model.mesh is not None:
        unet = unet.clone(layout=Layout(model.mesh, model.mesh.axis_names, ()))
    inputs = {
        active: [model.replicate(x) for x in _rows(each, len(seeds), windowed is None)]
        for active, each in encoded.items()
    }

    def run_chunk(state: Any, rows: Any, phase: Phase) -> Any:
        given = inputs[phase.active]
        settings = (*given, weights, rescale)
        if not phase.guided:  # the last branch alone is evaluated
            last = [x[:, -1:] for x in given] if windowed else [x[-len(seeds) :] for x in given]
            settings = (*last, weights[:0], None)
        reused = passes if phase.guided or passes.deep else Passes()
        return sample_chunk(
            sampler, unet, reused, parameters, state, rows, step_keys, *settings, windowed, known
        )

    size = -(-STEPS_PER_CALL // passes.every) * passes.every
    chunks = [(rows, phase) for phase in phases for rows in phase.rows.chunks(size)]
    progress("compiling the sampler", 0, 0)
    state = sampler.init(z)
    for phase in {phase.guided: phase for phase in phases}.values():  # compiles, and takes no step
        state, _ = run_chunk(state, chunks[0][0].none(), phase)
    total = sum(len(phase.rows) for phase in phases)
    state, estimate = _run(run_chunk, state, chunks, total, progress, on_step)
    z = sampler.latents(state) if estimate is None else estimate
    _check_finite(z, weights, model)
    return z


def _check_finite(z: Array, weights: np.ndarray, model: LoadedModel) -> None:
    if not jnp.isfinite(z).all():
        raise BadInput(
            f"sampling ended in NaN or infinity: guidance {', '.join(f'{w:g}' for w in weights) or 'none'} or a "
            f"strength is too large, or the weights of model {model.name} are damaged"
        )


def _noise(model: LoadedModel, request: Request, tiling: Tiling, seed: int, keys: Any) -> Array:
    """Return the initial noise of a seed."""
    noise = jax.random.normal(keys[0], (*tiling.length, model.networks.unet.latent_channels))
    length, size = tiling.length[0], tiling.size[0]
    if length == size or request.windows.noise != "repeat":
        return noise
    return noise[repeated_noise(seed, length, size, tiling.stride(0))]


def _rows(encoded: EncodedConditions, seeds: int, single: bool) -> list[Array]:
    """Return maps, tokens and mask: those of the one window repeated for all seeds, or those of each window."""
    if not single:
        return [encoded.maps, encoded.tokens, encoded.mask]
    # Rows of the first branch for all seeds, then rows of the next branch.
    return [jnp.repeat(x[0], seeds, 0) for x in (encoded.maps, encoded.tokens, encoded.mask)]


def _windowed(
    model: LoadedModel, phases: Sequence[Phase], tiling: Tiling, encoded: Mapping[Active, EncodedConditions]
) -> WindowedInputs:
    """Return the windows, whose placement changes from step to step."""
    t = np.unique(np.concatenate([phase.rows.t for phase in phases]))[::-1]
    placement = np.zeros(len(model.schedule.alpha_bar), np.int32)
    placement[t] = np.arange(len(t)) % tiling.offsets
    table = tiling.table(1 if model.mesh is None else model.mesh.size)
    prompt = next(iter(encoded.values())).prompt
    return WindowedInputs(windows=table, prompt=prompt, placement=placement, tiling=tiling)


def _run(
    run_chunk: Callable[[Any, Steps, Phase], tuple[Any, Array]],
    state: Any,
    chunks: Sequence[tuple[Steps, Phase]],
    total: int,
    progress: ProgressCallback,
    on_step: StepCallback | None,
) -> tuple[Any, Array | None]:
    """Run chunks of steps; return the last state, and the estimate of x0 where `on_step` has stopped."""
    completed = 0
    for rows, phase in chunks:
        before, (state, x0) = state, run_chunk(state, rows, phase)
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


def passes_of(request: Request) -> Passes:
    """Return which evaluations of the network the steps of a request take."""
    deep, difference = request.reuse_every > 1, request.guidance_every > 1
    return Passes(max(request.reuse_every, request.guidance_every), deep, difference)


def decode_latents(
    model: LoadedModel, z: Float[Array, "N h w c"], frames: int
) -> Iterator[tuple[int, UInt8[np.ndarray, "f H W 3"]]]:
    """Yield the frames of a clip, `frames` at a time, with the index of the first of them."""
    parameters, layout = model.parameters("autoencoder"), Layout(model.mesh)
    for first in range(0, len(z), frames):
        start = min(first, len(z) - frames)  # parts of one length are compiled once
        part = decode(model.networks.autoencoder, parameters, z[start : start + frames], layout)
        yield first, np.asarray(part)[first - start :]
