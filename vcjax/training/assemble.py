"""From a run's configuration to its task: networks, conditions, source of clips, frozen parts."""

import dataclasses
import importlib.util
from collections.abc import Callable, Iterable

from vcjax.composer import Composer
from vcjax.conditions.base import MapCondition, VectorCondition
from vcjax.conditions.catalogue import from_settings
from vcjax.errors import BadInput
from vcjax.loading import ModelConfig, load
from vcjax.settings import typed
from vcjax.training.autoencoder import AutoencoderTask
from vcjax.training.clip_pair import ClipTask
from vcjax.training.config import Run
from vcjax.training.diffusion import VECTOR_NETWORKS, DiffusionTask
from vcjax.training.sources import SpriteSource
from vcjax.training.task import Task
from vcjax.weights.networks import Networks, networks_from_settings, settings_of


def task_of(run: Run) -> Task:
    """The task of a run.

    Raises:
        BadInput: an unknown task, a model that cannot be, a condition that it lacks, or missing parts.
    """
    if run.task not in TASKS:
        raise BadInput(f"config.task must be one of {', '.join(TASKS)}, not {run.task!r}")
    if run.sample_every and importlib.util.find_spec("av") is None:
        raise BadInput("config.sample_every needs the package av to write videos: install it or set it to 0")
    parts = load(run.parts, dtype=run.dtype)
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
    return TASKS[run.task](run, composer)


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


def _source(run: Run, composer: Composer) -> SpriteSource:
    if composer.shape.height != composer.shape.width:
        raise BadInput(
            f"config.model.clip must be square, as clips of the sprite world are, "
            f"not {composer.shape.height}x{composer.shape.width}"
        )
    return SpriteSource(composer.shape, composer.tokenize, run.seed, run.fixed_clips)


def _autoencoder(run: Run, composer: Composer) -> Task:
    return AutoencoderTask(composer.networks, _source(run, composer), composer.shape.fps)


def _clip(run: Run, composer: Composer) -> Task:
    return ClipTask(composer.networks, _source(run, composer))


def _diffusion(run: Run, composer: Composer) -> Task:
    known = composer.conditions
    _check_parts(composer, load(run.parts).networks, DiffusionTask.frozen_parts(composer))
    for index, stage in enumerate(run.stages):
        for name in (*stage.conditions, *stage.dropout.each):
            if name not in known:
                raise BadInput(
                    f"config.stages[{index}] names condition {name!r}, but the model has {', '.join(known)}"
                )
    for name, condition in known.items():
        network = VECTOR_NETWORKS.get(name)
        if isinstance(condition, VectorCondition) and (
            network is None or getattr(composer.networks, network) is None
        ):
            raise BadInput(
                f"config.model.conditions: {name} cannot be trained, since this model has no network that makes it"
            )
        if isinstance(condition, MapCondition) and name not in SpriteSource.maps:
            raise BadInput(
                f"config.model.conditions: the sprite world does not tell {name!r}, only {', '.join(SpriteSource.maps)}"
            )
    source = _source(run, composer)
    return DiffusionTask(composer, source, run.weighting, zero_encoders=bool(run.start))


TASKS: dict[str, Callable[[Run, Composer], Task]] = {
    "autoencoder": _autoencoder,
    "clip": _clip,
    "diffusion": _diffusion,
}
