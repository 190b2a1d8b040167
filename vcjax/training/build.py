"""Build the task of a run: networks, conditions, source of clips, frozen networks."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from jax.sharding import Mesh

from vcjax.composer.composer import Composer
from vcjax.composer.loading import load
from vcjax.conditions.base import MapCondition
from vcjax.conditions.depth import Depth
from vcjax.errors import BadInput
from vcjax.models.layout import Layout
from vcjax.parallel.batches import process_shard
from vcjax.parallel.mesh import make_mesh
from vcjax.training.adapter_task import AdapterTask
from vcjax.training.autoencoder_task import AutoencoderTask
from vcjax.training.clip_task import ClipTask
from vcjax.training.config import Run
from vcjax.training.consistency_task import ConsistencyTask
from vcjax.training.dataset_source import DatasetSource
from vcjax.training.diffusion_task import COMPONENTS, DiffusionTask
from vcjax.training.extractor_task import ExtractorTask
from vcjax.training.latent_cache import cached_latents
from vcjax.training.sprite_source import SpriteSource
from vcjax.training.task import Task
from vcjax.weights.networks import Networks, networks_to_config


def build_task(run: Run, mesh: Mesh | None = None, frozen: Composer | None = None) -> Task:
    """Build the task of a run.

    Args:
        run: its configuration.
        mesh: device mesh; made as the configuration says where None.
        frozen: model with the networks that are held frozen; loaded as the configuration says where None.

    Raises:
        BadInput: an unknown task, a model that lacks a condition or a network, or frozen networks of other sizes.
    """
    if run.task not in TASKS:
        raise BadInput(f"config.task must be one of {', '.join(TASKS)}, not {run.task!r}")
    if run.sample_every and importlib.util.find_spec("av") is None:
        raise BadInput("config.sample_every needs the package av to write videos: install it or set it to 0")
    spec = run.spec()
    frozen = load(run.frozen_from, dtype=run.compute_dtype) if frozen is None else frozen
    networks = spec.networks.with_dtype(run.compute_dtype)
    networks = dataclasses.replace(networks, unet=networks.unet.clone(remat=run.remat))
    composer = frozen.with_model(dataclasses.replace(spec, networks=networks))
    return TASKS[run.task](run, composer, make_mesh(run.mesh) if mesh is None else mesh, frozen.networks)


def _autoencoder(run: Run, composer: Composer, mesh: Mesh, frozen: Networks) -> Task:
    _check_clips_unsplit(run, mesh)
    return AutoencoderTask(composer.networks, _sprites(run, composer, mesh), composer.shape.fps)


def _clip(run: Run, composer: Composer, mesh: Mesh, frozen: Networks) -> Task:
    _check_clips_unsplit(run, mesh)
    return ClipTask(composer.networks, _sprites(run, composer, mesh))


def _extractor(name: str, run: Run, composer: Composer, mesh: Mesh, frozen: Networks) -> Task:
    _check_clips_unsplit(run, mesh)
    if name not in composer.conditions:
        raise BadInput(f"config.model.conditions must hold {name}, which task {name} learns to extract")
    condition = composer.conditions[name]
    divisor = condition.divisor if isinstance(condition, Depth) else 1.0
    return ExtractorTask(composer.networks, name, _sprites(run, composer, mesh), composer.shape.fps, divisor)


def _consistency(run: Run, composer: Composer, mesh: Mesh, frozen: Networks) -> Task:
    _check_frozen(composer, frozen, ["unet"])
    if run.init_from != run.frozen_from:
        raise BadInput(
            "config.init_from must be config.frozen_from for task consistency, whose student begins as the teacher, "
            f"not {run.init_from!r} and {run.frozen_from!r}"
        )
    for index, stage in enumerate(run.stages):
        if stage.trainable != ("unet/",) or stage.images_every:
            raise BadInput(
                f"config.stages[{index}] of task consistency must have trainable=('unet/',) and no images"
            )
    timesteps = composer.schedule.timesteps
    if timesteps % run.distillation.steps:
        raise BadInput(
            f"config.distillation.steps must divide {timesteps}, the schedule's timesteps, not {run.distillation.steps}"
        )
    task = partial(ConsistencyTask, distillation=run.distillation)
    return _diffusion(run, composer, mesh, frozen, task)


def _adapters(run: Run, composer: Composer, mesh: Mesh, frozen: Networks) -> Task:
    _check_frozen(composer, frozen, COMPONENTS)
    if run.init_from:
        raise BadInput(
            "config.init_from must be empty for task adapters, which begin as none: the model is config.frozen_from"
        )
    return _diffusion(run, composer, mesh, frozen, partial(AdapterTask, adapters=run.adapters))


def _diffusion(
    run: Run, composer: Composer, mesh: Mesh, frozen: Networks, task: Callable[..., Task] = DiffusionTask
) -> Task:
    _check_stages(run, composer)
    _check_conditions(run, composer)
    _check_frozen(composer, frozen, DiffusionTask.frozen_components(composer))
    source = (
        DatasetSource(run, composer, process_shard(mesh))
        if run.data
        else _cached_sprites(run, composer, mesh)
    )
    return task(
        composer,
        source,
        loss_weighting=run.loss_weighting,
        timestep_sampling=run.timestep_sampling,
        layout=Layout(mesh),
        zero_encoders=bool(run.init_from),
    )


def _sprites(run: Run, composer: Composer, mesh: Mesh) -> SpriteSource:
    """Return the sprite world for tasks that need frames, and no latents."""
    return SpriteSource(composer.shape, composer.tokenize, run.seed, run.sprites, share=process_shard(mesh))


def _cached_sprites(run: Run, composer: Composer, mesh: Mesh) -> SpriteSource:
    """Return the sprite world for diffusion, with the latents of fixed clips cached in the run's folder."""
    fixed = run.sprites.fixed_clips
    for index, stage in enumerate(run.stages):
        if stage.sprites.fixed_clips != fixed:
            raise BadInput(f"config.stages[{index}].sprites.fixed_clips must be the run's, {fixed}")
        if fixed and stage.frames not in (0, 1, composer.shape.frames):
            raise BadInput(
                f"config.stages[{index}].frames must be 0, 1 or {composer.shape.frames} with sprites.fixed_clips, "
                f"whose latents are cached as clips of {composer.shape.frames} frames, not {stage.frames}"
            )
    moments = partial(cached_latents, composer, fixed, Path(run.out)) if fixed else None
    return SpriteSource(
        composer.shape,
        composer.tokenize,
        run.seed,
        run.sprites,
        moments,
        process_shard(mesh),
        any_frame=composer.networks.unet.frame_embedding,
    )


def _check_stages(run: Run, composer: Composer) -> None:
    """Raise BadInput where a stage names a condition or a timestep that the model does not have."""
    for index, stage in enumerate(run.stages):
        for name in (*stage.conditions, *stage.image_conditions, *stage.dropout.per_condition):
            if name not in composer.conditions:
                raise BadInput(
                    f"config.stages[{index}] names condition {name!r}, but the model has "
                    f"{', '.join(composer.conditions)}"
                )
        timesteps = composer.schedule.timesteps
        if stage.image_min_timestep >= timesteps:
            raise BadInput(
                f"config.stages[{index}].image_min_timestep must be below {timesteps}, the schedule's timesteps, "
                f"not {stage.image_min_timestep}"
            )


def _check_conditions(run: Run, composer: Composer) -> None:
    """Raise BadInput where the source of clips, or the model, cannot make one of its conditions."""
    for name, condition in composer.conditions.items():
        missing = [n for n in condition.networks if getattr(composer.networks, n) is None]
        if condition.kind == "tokens" and missing:
            raise BadInput(
                f"config.model.conditions: {name} cannot be trained, since this model has no {missing[0]} network"
            )
        if not run.data and isinstance(condition, MapCondition) and name not in SpriteSource.maps:
            raise BadInput(
                f"config.model.conditions: the training step cannot render {name!r}, only {', '.join(SpriteSource.maps)}: "
                "prepare a data set (vcjax prepare) and name it in config.data"
            )


def _check_frozen(composer: Composer, frozen: Networks, components: Iterable[str]) -> None:
    """Raise BadInput where a frozen network has other sizes in the model than in `config.frozen_from`."""
    for name in components:
        ours, theirs = (networks_to_config(networks)[name] for networks in (composer.networks, frozen))
        different = [key for key in ours if ours[key] != theirs[key]]
        if different:
            key = different[0]
            raise BadInput(
                f"config.model.networks.{name}.{key} is {ours[key]!r}, but {theirs[key]!r} in config.frozen_from, "
                f"whose {name} is held frozen"
            )


def _check_clips_unsplit(run: Run, mesh: Mesh) -> None:
    """Raise BadInput where the mesh splits clips in a task that does not."""
    if mesh.shape["frames"] > 1:
        raise BadInput(
            f"config.mesh.frames must be 1 for task {run.task}, which splits batches but not clips"
        )


TASKS: dict[str, Callable[[Run, Composer, Mesh, Networks], Task]] = {
    "autoencoder": _autoencoder,
    "clip": _clip,
    "depth": partial(_extractor, "depth"),
    "sketch": partial(_extractor, "sketch"),
    "diffusion": _diffusion,
    "consistency": _consistency,
    "adapters": _adapters,
}
