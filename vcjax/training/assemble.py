"""From a run's configuration to its task: networks, conditions, source of clips, frozen parts."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
from jax.sharding import Mesh

from vcjax.composer import Composer
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.catalogue import from_settings
from vcjax.conditions.depth import Depth
from vcjax.errors import BadInput
from vcjax.loading import ModelConfig, load
from vcjax.models.layout import Layout
from vcjax.parallel.batches import share
from vcjax.parallel.mesh import make_mesh
from vcjax.settings import typed
from vcjax.training.autoencoder import AutoencoderTask
from vcjax.training.clip_pair import ClipTask
from vcjax.training.config import Run
from vcjax.training.diffusion import VECTOR_NETWORKS, DiffusionTask
from vcjax.training.extractors import ExtractorTask
from vcjax.training.latents import kept_latents
from vcjax.training.records_source import RecordSource
from vcjax.training.sources import SpriteSource
from vcjax.training.task import Task
from vcjax.weights.networks import Networks, networks_from_settings, settings_of


def task_of(run: Run, mesh: Mesh | None = None, parts: Composer | None = None) -> Task:
    """The task of a run.

    Args:
        run: its configuration.
        mesh: the devices that compute its loss; as the configuration says without it.
        parts: the model with the networks that are held frozen; loaded as the configuration says without it.

    Raises:
        BadInput: an unknown task, a model that cannot be, a condition that it lacks, or missing parts.
    """
    if run.task not in TASKS:
        raise BadInput(f"config.task must be one of {', '.join(TASKS)}, not {run.task!r}")
    if run.sample_every and importlib.util.find_spec("av") is None:
        raise BadInput("config.sample_every needs the package av to write videos: install it or set it to 0")
    parts = load(run.parts, dtype=run.dtype) if parts is None else parts
    model: ModelConfig = typed(ModelConfig, run.model, "config.model")
    networks = networks_from_settings(model.networks).with_dtype(run.dtype)
    networks = dataclasses.replace(networks, unet=networks.unet.clone(rematerialised=run.rematerialised))
    composer = dataclasses.replace(
        parts,
        name=model.name,
        networks=networks,
        conditions=from_settings(model.conditions),
        schedule=model.schedule,
        prediction=model.prediction,
        shape=model.clip,
        defaults=model.defaults,
    )
    return TASKS[run.task](run, composer, make_mesh(run.mesh) if mesh is None else mesh, parts.networks)


def _check_parts(composer: Composer, parts: Networks, names: Iterable[str]) -> None:
    """Raise BadInput where a frozen network has other sizes in the model than in the parts that hold its weights."""
    for name in names:
        ours, theirs = (settings_of(networks)[name] for networks in (composer.networks, parts))
        different = [key for key in ours if ours[key] != theirs[key]]
        if different:
            key = different[0]
            raise BadInput(
                f"config.model.networks.{name}.{key} is {ours[key]!r}, but {theirs[key]!r} in config.parts, "
                f"whose {name} is held frozen"
            )


def _source(
    run: Run,
    composer: Composer,
    mesh: Mesh,
    moments: Callable[[], np.ndarray] | None = None,
    *,
    numbered: bool = False,
) -> SpriteSource:
    if composer.shape.height != composer.shape.width:
        raise BadInput(
            f"config.model.clip must be square, as clips of the sprite world are, "
            f"not {composer.shape.height}x{composer.shape.width}"
        )
    clips = (run.seed, run.fixed_clips, moments, share(mesh))
    return SpriteSource(composer.shape, composer.tokenize, *clips, numbered=numbered)


def _autoencoder(run: Run, composer: Composer, mesh: Mesh, parts: Networks) -> Task:
    _check_clips_whole(run, mesh)
    return AutoencoderTask(composer.networks, _source(run, composer, mesh), composer.shape.fps)


def _clip(run: Run, composer: Composer, mesh: Mesh, parts: Networks) -> Task:
    _check_clips_whole(run, mesh)
    return ClipTask(composer.networks, _source(run, composer, mesh))


def _extractor(name: str, run: Run, composer: Composer, mesh: Mesh, parts: Networks) -> Task:
    _check_clips_whole(run, mesh)
    if name not in composer.conditions:
        raise BadInput(f"config.model.conditions must hold {name}, which task {name} learns to extract")
    condition = composer.conditions[name]
    unit = condition.unit if isinstance(condition, Depth) else 1.0
    return ExtractorTask(composer.networks, name, _source(run, composer, mesh), composer.shape.fps, unit)


def _check_clips_whole(run: Run, mesh: Mesh) -> None:
    """Raise BadInput where the mesh would split clips in a task that does not."""
    if mesh.shape["frames"] > 1:
        raise BadInput(f"config.mesh.frames must be 1 for task {run.task}, which splits batches but no clips")


def _diffusion(run: Run, composer: Composer, mesh: Mesh, parts: Networks) -> Task:
    known = composer.conditions
    for index, stage in enumerate(run.stages):
        for name in (*stage.conditions, *stage.image_conditions, *stage.dropout.each):
            if name not in known:
                raise BadInput(
                    f"config.stages[{index}] names condition {name!r}, but the model has {', '.join(known)}"
                )
        if stage.image_lowest_t >= composer.schedule.steps:
            raise BadInput(
                f"config.stages[{index}].image_lowest_t must be below {composer.schedule.steps}, the schedule's steps, "
                f"not {stage.image_lowest_t}"
            )
        if run.fixed_clips and not run.data and stage.frames not in (0, 1, composer.shape.frames):
            raise BadInput(
                f"config.stages[{index}].frames must be 0, 1 or {composer.shape.frames} with fixed_clips, whose latents are "
                f"kept as whole clips, not {stage.frames}"
            )
    for name, condition in known.items():
        network = VECTOR_NETWORKS.get(name)
        if isinstance(condition, VectorCondition) and (
            network is None or getattr(composer.networks, network) is None
        ):
            raise BadInput(
                f"config.model.conditions: {name} cannot be trained, since this model has no network that makes it"
            )
        if not run.data and isinstance(condition, MapCondition) and name not in SpriteSource.maps:
            raise BadInput(
                f"config.model.conditions: the sprite world does not tell {name!r}, only {', '.join(SpriteSource.maps)}"
            )
    _check_parts(composer, parts, DiffusionTask.frozen_parts(composer))
    kept = partial(kept_latents, composer, run.fixed_clips, Path(run.out)) if run.fixed_clips else None
    if run.data:
        source = RecordSource(run, composer, share(mesh))
    else:
        source = _source(run, composer, mesh, kept, numbered=composer.networks.unet.frame_numbers)
    options = {"timesteps": run.timesteps, "zero_encoders": bool(run.start)}
    return DiffusionTask(composer, source, run.weighting, Layout(mesh), **options)


TASKS: dict[str, Callable[[Run, Composer, Mesh, Networks], Task]] = {
    "autoencoder": _autoencoder,
    "clip": _clip,
    "depth": partial(_extractor, "depth"),
    "sketch": partial(_extractor, "sketch"),
    "diffusion": _diffusion,
}
