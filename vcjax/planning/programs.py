"""Programs to plan: the training step of a run, and what `generate` calls, with the shapes of their inputs."""

import dataclasses
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import keystr

from vcjax.composer.compiled import (
    STEPS_PER_CALL,
    WindowedInputs,
    decode,
    encode_frames,
    encode_map,
    encode_text,
    sample_chunk,
)
from vcjax.composer.composer import Composer
from vcjax.composer.denoising import Passes
from vcjax.conditions.base import MapCondition
from vcjax.conditions.catalogue import map_channels, vector_dims
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.diffusion.ddim import DDIM
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.windows import Tiling
from vcjax.models.layout import Layout
from vcjax.parallel import compilation
from vcjax.parallel.batches import batch_sharding
from vcjax.parallel.mesh import replicated
from vcjax.parallel.placement import placement
from vcjax.parallel.rules import with_shardings
from vcjax.training.build import build_task
from vcjax.training.config import Run
from vcjax.training.setup import set_up
from vcjax.training.step import make_step
from vcjax.weights.extraction import batch_size, predict
from vcjax.weights.networks import EXTRACTION, Networks
from vcjax.weights.trees import Tree

TRAINING, SAMPLER, ENCODER = "training", "sampler", "encoder"
STC = "stc/"  # before the name of a condition
ALL_PASSES = Passes()
WINDOWS = 8  # length of the clip of `sampler/windows`, in windows
CHEAPER = {  # ways to cheaper guided steps, after `sampler/`
    "reuse_every-3": Passes(3, deep=True),
    "guidance_every-3": Passes(3, difference=True),
}


@dataclasses.dataclass(frozen=True)
class Program:
    """A program, and what it is called with.

    Attributes:
        function: jitted function.
        inputs: its arguments: shapes with shardings, and static ones.
        kinds: inputs by kind, of which `parameters` is one.
        steps: number of sampling steps that a call takes; 1 for other programs.
        calls: number of calls for a video.
    """

    function: Any
    inputs: tuple[Any, ...]
    kinds: dict[str, Any]
    steps: int = 1
    calls: int = 1


def programs(run: Run) -> dict[str, Callable[[Run, Any, int], Program]]:
    """Return functions that build the programs of a run, by name: of configuration, mesh and index of the stage."""
    spec = run.spec()
    maps = [name for name, condition in spec.conditions.items() if isinstance(condition, MapCondition)]
    networks = [name for name in EXTRACTION if getattr(spec.networks, name) is not None]
    return {
        TRAINING: training_program,
        SAMPLER: sampler_program,
        **{f"{SAMPLER}/{name}": partial(sampler_program, passes=passes) for name, passes in CHEAPER.items()},
        f"{SAMPLER}/windows": partial(sampler_program, windows=WINDOWS),
        f"{SAMPLER}/unguided": partial(sampler_program, branches=1),
        "text": _text_program,
        **{name: partial(_extractor_program, name) for name in networks},
        **{f"{STC}{name}": partial(_stc_program, name) for name in maps},
        ENCODER: _encoder_program,
        "decoder": _decoder_program,
    }


def programs_of_generate(run: Run) -> list[str]:
    """Return the names of the programs that make a video: all but the training step and the encoder of frames."""
    return [
        name
        for name in programs(run)
        if name not in (TRAINING, ENCODER) and not name.startswith(f"{SAMPLER}/")
    ]


def training_program(run: Run, mesh: Any, index: int) -> Program:
    """Return the training step of a stage."""
    task = build_task(without_fixed_clips(run), mesh, without_weights(run))
    setup = set_up(run, task, mesh)
    index %= len(run.stages)
    frozen = jax.eval_shape(task.frozen)
    state = with_shardings(setup.shapes_in(index), setup.placement(index))
    frozen = with_shardings(frozen, setup.frozen_placement(frozen))
    with closing(task.batches(run.stages[index], 0, 0)) as batches:
        batch = next(batches)
    # With a latent cache the batch holds latents, whose shape is known without computing any.
    if run.sprites.fixed_clips and not run.data:
        batch = dataclasses.replace(batch, moments=_moments(task, run.stages[index].batch_size))
    batch = with_shardings(batch, jax.tree.map(lambda _: batch_sharding(mesh), batch))
    kinds = {
        "parameters": state.parameters,
        "optimizer": state.optimizer,
        "ema": state.ema,
        "frozen networks": frozen,
        "batch": batch,
    }
    return Program(make_step(task, setup, index), (state, frozen, batch), kinds)


def sampler_program(
    run: Run,
    mesh: Any,
    index: int,
    *,
    branches: int = 2,
    passes: Passes = ALL_PASSES,
    windows: int = 1,
) -> Program:
    """Return a call of the sampler, which takes at least `STEPS_PER_CALL` steps, of clips of so many windows' length."""
    composer = without_weights(run).with_mesh(mesh)
    networks, shape, clips = composer.networks, composer.shape, run.stages[index].batch_size
    unet, sides = networks.unet, composer.latent_shape()[:2]
    array = partial(_array, mesh)
    parameters = _parameters(run, mesh, "unet")
    sampler = DDIM()
    table = sampling_steps(
        sampler, composer.schedule, composer.defaults.steps, prediction=composer.prediction
    )
    steps = -(-STEPS_PER_CALL // passes.every) * passes.every
    rows, *_ = table.chunks(steps)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), clips))
    z = array(clips, windows * shape.frames, *sides, unet.latent_channels)
    tokens = networks.text.context_length + networks.tokens.vector_tokens * len(
        vector_dims(composer.conditions)
    )
    given = (
        array(branches * clips, shape.frames, *sides, networks.stc.out_channels),
        array(branches * clips, tokens, networks.tokens.token_dim),
        array(branches * clips, tokens, dtype=bool),
    )
    keys = array(*keys.shape, dtype=keys.dtype)
    weights: tuple[Any, ...] = (np.ones(branches - 1, np.float32),)
    if windows > 1:
        unet = unet.clone(layout=Layout(mesh, mesh.axis_names, ()))
        given, windowed = _windowed(composer, mesh, given, windows * shape.frames, clips)
        weights += (None, windowed)
    inputs = (sampler, unet, passes, parameters, z, rows, keys, *given, *weights)
    program = compilation.jit(_known_number_of_steps, static_argnums=(0, 1, 2))
    kinds = {"parameters": parameters, "latents": z, "maps and tokens": given}
    calls = -(-composer.defaults.steps // steps)
    return Program(program, inputs, kinds, steps=steps, calls=calls)


def _windowed(
    composer: Any, mesh: Any, given: tuple[Any, ...], frames: int, clips: int
) -> tuple[tuple[Any, ...], WindowedInputs]:
    """Return maps, tokens and mask of each window in place of those of a clip, and the windows."""
    sides, array = composer.latent_shape()[:2], partial(_array, mesh)
    tiling = Tiling((frames, *sides), (composer.shape.frames, *sides), offsets=2)
    count, timesteps = len(tiling.clips()), len(composer.schedule.alpha_bar)
    maps, tokens, mask = (array(x.shape[0] // clips, *x.shape[1:], dtype=x.dtype) for x in given)
    inputs = (
        array(count, *maps.shape),
        array(1, *tokens.shape),
        array(1, *mask.shape, dtype=bool),
    )
    table = jax.tree.map(lambda x: array(*x.shape, dtype=x.dtype), tiling.table(mesh.size))
    indices = array(count, dtype=jnp.int32), array(timesteps, dtype=jnp.int32)
    return inputs, WindowedInputs(windows=table, prompt=indices[0], placement=indices[1], tiling=tiling)


def _known_number_of_steps(
    sampler: Any, unet: Any, passes: Passes, parameters: Tree, state: Any, rows: Any, *arrays: Any
) -> Any:
    """Take all steps of a chunk, so that the compiler knows how often its loop runs."""
    rows = dataclasses.replace(rows, count=len(rows))
    return sample_chunk.__wrapped__(sampler, unet, passes, parameters, state, rows, *arrays)  # type: ignore[attr-defined]


def _text_program(run: Run, mesh: Any, index: int) -> Program:
    """Return the text tower; it runs for the text, and for the empty one."""
    tower = _networks(run).text
    ids, parameters = _array(mesh, 1, tower.context_length, dtype=jnp.int32), _parameters(run, mesh, "text")
    return Program(encode_text, (tower, parameters, ids), {"parameters": parameters, "tokens": ids}, calls=2)


def _extractor_program(name: str, run: Run, mesh: Any, index: int) -> Program:
    """Return an extraction network on a batch of frames."""
    module, clip = getattr(_networks(run), name), run.spec().clip
    side = getattr(module, "image_size", 0)
    size = (side, side) if side else _map_size(run, name)
    channels, dtype = (1, jnp.float32) if name == "cleaner" else (3, jnp.uint8)
    images = _array(mesh, batch_size(), *size, channels, dtype=dtype)
    parameters = _parameters(run, mesh, name)
    calls = 1 if name == "vision" else -(-clip.frames // batch_size())
    kinds = {"parameters": parameters, "images": images}
    return Program(predict, (name, module, parameters, images), kinds, calls=calls)


def _map_size(run: Run, network: str) -> tuple[int, int]:
    """Return height and width of the maps that a network extracts."""
    spec = run.spec()
    sizes = (
        condition.size(spec.clip)
        for condition in spec.conditions.values()
        if isinstance(condition, MapCondition) and network in condition.networks
    )
    return next(sizes, (spec.clip.height, spec.clip.width))


def _stc_program(name: str, run: Run, mesh: Any, index: int) -> Program:
    """Return the STC-encoder of a condition."""
    spec, composer = run.spec(), without_weights(run).with_mesh(mesh)
    condition: Any = spec.conditions[name]
    parameters = _parameters(run, mesh, "stc")[name]
    maps = _array(mesh, 1, condition.count(spec.clip), *condition.size(spec.clip), condition.channels)
    inputs = (composer.networks.stc, parameters, maps, composer.latent_shape()[:2], spec.clip.frames)
    return Program(encode_map, inputs, {"parameters": parameters, "maps": maps})


def _encoder_program(run: Run, mesh: Any, index: int) -> Program:
    """Return the encoder of frames to latents."""
    clip, parameters = run.spec().clip, _parameters(run, mesh, "autoencoder")
    frames = _array(mesh, clip.frames, clip.height, clip.width, 3, dtype=jnp.uint8)
    kinds = {"parameters": parameters, "frames": frames}
    return Program(encode_frames, (_networks(run).autoencoder, parameters, frames), kinds)


def _decoder_program(run: Run, mesh: Any, index: int) -> Program:
    """Return the decoder of latents to frames."""
    composer, parameters = without_weights(run), _parameters(run, mesh, "autoencoder")
    latents = _array(mesh, composer.shape.frames, *composer.latent_shape())
    kinds = {"parameters": parameters, "latents": latents}
    inputs = (composer.networks.autoencoder, parameters, latents, Layout(mesh))
    return Program(decode, inputs, kinds)


def _networks(run: Run) -> Networks:
    return run.spec().networks.with_dtype(run.compute_dtype)


def _array(mesh: Any, *sizes: int, dtype: Any = jnp.float32) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype, sharding=replicated(mesh))


def _parameters(run: Run, mesh: Any, component: str) -> Tree:
    """Return the shapes of the parameters of a component as a loaded model has them."""
    spec = run.spec()
    channels, vectors = map_channels(spec.conditions), vector_dims(spec.conditions)
    shapes = spec.networks.shapes(channels, vectors, [component])[component]

    def placed(path: Any, x: Any) -> jax.ShapeDtypeStruct:
        name = f"{component}/{keystr(path, simple=True, separator='/')}"
        return jax.ShapeDtypeStruct(x.shape, run.compute_dtype, sharding=placement(name, x, mesh))

    return jax.tree.map_with_path(placed, shapes)


def _moments(task: Any, clips: int) -> jax.ShapeDtypeStruct:
    """Return the shape of cached latents, see `vcjax.training.latent_cache`."""
    composer = task.composer
    channels = 2 * composer.networks.autoencoder.latent_channels
    shape = (clips, composer.shape.frames, *composer.latent_shape()[:2], channels)
    return jax.ShapeDtypeStruct(shape, jnp.float16)


def without_fixed_clips(run: Run) -> Run:
    """Return a run without its latent cache, which needs weights."""
    whole = SpriteSelection(image_scenes=run.sprites.image_scenes)
    stages = tuple(
        dataclasses.replace(stage, sprites=dataclasses.replace(stage.sprites, fixed_clips=0))
        for stage in run.stages
    )
    return dataclasses.replace(run, sprites=whole, stages=stages)


def without_weights(run: Run) -> Composer:
    """Return the model of a run without reading weights: parameters are zeros, and every text has the same tokens.

    Raises:
        BadInput: the model of the configuration is invalid.
    """
    spec = run.spec()
    networks, conditions = spec.networks.with_dtype(run.compute_dtype), spec.conditions
    shapes = networks.shapes(map_channels(conditions), vector_dims(conditions))

    def zeros(component: str) -> Tree:
        return jax.tree.map(lambda x: jnp.zeros(x.shape, run.compute_dtype), shapes[component])

    return Composer(
        name=spec.name,
        networks=networks,
        conditions=conditions,
        schedule=spec.schedule,
        prediction=spec.prediction,
        shape=spec.clip,
        defaults=spec.defaults,
        parameters=zeros,
        tokenize=lambda text: np.zeros(networks.text.context_length, np.int32),
    )
