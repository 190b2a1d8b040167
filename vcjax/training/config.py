"""Configuration of a training run, as typed values.

`vcjax.training.config_files` reads them from an ml_collections file (`configs/`) and the command line.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from vcjax.composer.model_config import ModelSpec, model_from_config
from vcjax.data.loader import LoaderConfig
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.errors import BadInput
from vcjax.parallel.mesh import MeshShape
from vcjax.parallel.rules import RULES, check_rules
from vcjax.settings import typed
from vcjax.weights.adapters import AdapterSettings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An Optax optimiser and its learning-rate schedule. Steps are counted from the beginning of the stage.

    Attributes:
        name: function of `optax` that takes a learning rate, such as adamw, lion or adafactor.
        learning_rate: peak learning rate, reached at the end of the warm-up.
        warmup_steps: steps of linear warm-up from 0.
        schedule: learning rate after the warm-up: `constant`, or `cosine` or `linear` decay to the end of the stage.
        final_fraction: learning rate at the end of the decay, as a fraction of the peak.
        weight_decay: weight decay, for optimisers that have it; applied to kernels and embeddings only.
        max_grad_norm: gradients are clipped to this global norm; 0 switches clipping off.
        options: further arguments of the Optax function, such as b1, b2, eps and mu_dtype.
    """

    name: str = "adamw"
    learning_rate: float = 1e-4
    warmup_steps: int = 0
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    final_fraction: float = 0.0
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout:
    """Condition dropout (VideoComposer, section 4.1), drawn for each sample independently.

    Attributes:
        drop_all: probability that all conditions of a sample are dropped.
        keep_all: probability that all are kept.
        sparse: probability that a sample keeps zero, one or two conditions beside its text (each number, and each choice
            of them, equally likely), while text is dropped as below. Eight conditions that are dropped independently are
            hardly ever seen alone.
        per_condition: otherwise, the probability that a condition is dropped, by name.
        probability: the same for conditions that `per_condition` does not name.
        text: what replaces a dropped text: `empty` (embedding of the empty string) or `zeros` (as in the original's
            training).
        style: what replaces a dropped style: `absent` (masked out), `null` (zeros through the style MLP), `either` (one of
            these two at random, so that the model learns both) or `zeros` (a zero token, as in the original's training).
    """

    drop_all: float = 0.1
    keep_all: float = 0.1
    sparse: float = 0.0
    per_condition: Mapping[str, float] = dataclasses.field(default_factory=dict)
    probability: float = 0.5
    text: Literal["empty", "zeros"] = "empty"
    style: Literal["absent", "null", "either", "zeros"] = "either"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One training stage.

    Attributes:
        name: name in logs.
        steps: optimiser steps.
        batch_size: clips per step, over all hosts.
        frames: frames of each clip; the model's where 0.
        gradient_accumulation: number of equal parts that a batch is processed in, one after another.
        images_every: every n-th step trains on single images instead of clips; 0 is never. Of the sprite world they are
            first frames, or any frame of a clip, with its index, where the UNet has a frame embedding.
        image_batch_size: images in such a step.
        image_min_timestep: timesteps below it are not drawn for images.
        image_conditions: conditions of images; those of clips where empty.
        conditions: conditions of clips; all of the model's where empty.
        dropout: condition dropout.
        trainable: prefixes of the names of trained parameters, such as `unet/` or `stc/motion`; all where empty.
        optimizer: optimiser of the stage; keys that a stage leaves out are the run's.
        sprites: selection of sprite clips; keys that a stage leaves out are the run's.
    """

    name: str
    steps: int
    batch_size: int
    frames: int = 0
    gradient_accumulation: int = 1
    images_every: int = 0
    image_batch_size: int = 0
    image_min_timestep: int = 0
    image_conditions: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    dropout: Dropout = dataclasses.field(default_factory=Dropout)
    trainable: tuple[str, ...] = ()
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    sprites: SpriteSelection = dataclasses.field(default_factory=SpriteSelection)

    def condition_names(self, known: Iterable[str], *, images: bool = False) -> tuple[str, ...]:
        """Return the names of the conditions of clips, or of single images, among those that the model has."""
        return (images and self.image_conditions) or self.conditions or tuple(known)

    def is_on_images(self, step: int) -> bool:
        """Return whether step `step` of this stage, counted from 0, trains on single images."""
        return self.images_every > 0 and step % self.images_every == self.images_every - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Distillation:
    """Distillation of task consistency (arXiv 2310.04378, section 4).

    Attributes:
        steps: DDIM steps of the teacher from noise to a clip; the student learns at their timesteps.
        guidance: guidance weight of the teacher, which becomes part of the student.
        huber: constant c of the pseudo-Huber distance sqrt(d^2 + c^2) - c, where d^2 is the mean squared error of latents.
    """

    steps: int = 50
    guidance: float = 9.0
    huber: float = 0.001


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A training run.

    Attributes:
        task: what is trained: a key of `vcjax.training.build.TASKS`.
        model: configuration of the model, as in a model folder's config.json.
        frozen_from: built-in model or model folder with the networks that the task holds frozen.
        init_from: built-in model or model folder with the initial parameters; the networks' own initialisers where empty.
        out: folder of the run: configuration, checkpoints, metrics, samples.
        data: folder of a prepared data set (`vcjax prepare`); where empty, clips of the sprite world are rendered in the
            training step.
        sprites: selection of sprite clips.
        loader: loading of a prepared data set.
        stages: the stages, in order.
        optimizer: optimiser of every stage, where the stage does not override it.
        first_stage: index of the first stage to train; above 0 it needs `init_from`.
        seed: seed of all random numbers.
        ema_decay: decay of the exponential moving average of the parameters, after its warm-up.
        loss_weighting: weight of the loss over timesteps: `constant`, `x0` (that of the error of x0), or `min_snr`
            (arXiv 2303.09556, gamma 5).
        timestep_sampling: `uniform`, with weighted errors, or `importance`: timesteps drawn in proportion to their
            weights, stratified over the batch. The expected loss is the same; its variance is lower.
        compute_dtype: type of activations; parameters are float32.
        remat: kinds of block whose activations are recomputed in the backward pass, see `vcjax.models.unet.UNet`.
        mesh: shape of the device mesh.
        rules: partition rules of the parameters, see `vcjax.parallel.rules`.
        distillation: of task consistency.
        adapters: of task adapters.
        log_every: steps between lines of metrics.
        save_every: steps between checkpoints.
        keep_checkpoints: number of the latest checkpoints to keep, beside the best.
        sample_every: steps between sample videos; 0 is never.
    """

    task: str
    model: Mapping[str, Any]
    frozen_from: str = "tiny"
    init_from: str = ""
    out: str
    data: str = ""
    sprites: SpriteSelection = dataclasses.field(default_factory=SpriteSelection)
    loader: LoaderConfig = dataclasses.field(default_factory=LoaderConfig)
    stages: tuple[Stage, ...]
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    first_stage: int = 0
    seed: int = 0
    ema_decay: float = 0.999
    loss_weighting: Literal["constant", "x0", "min_snr"] = "constant"
    timestep_sampling: Literal["uniform", "importance"] = "uniform"
    compute_dtype: Literal["float32", "bfloat16"] = "float32"
    remat: tuple[Literal["residual", "spatial", "temporal"], ...] = ()
    mesh: MeshShape = dataclasses.field(default_factory=MeshShape)
    rules: tuple[Any, ...] = RULES
    distillation: Distillation = dataclasses.field(default_factory=Distillation)
    adapters: AdapterSettings = dataclasses.field(default_factory=AdapterSettings)
    log_every: int = 50
    save_every: int = 1000
    keep_checkpoints: int = 2
    sample_every: int = 0

    def first_step(self, stage: int) -> int:
        """Return the step at which a stage begins."""
        return sum(before.steps for before in self.stages[:stage])

    def stage_at(self, step: int) -> int:
        """Return the index of the stage whose optimiser the state after `step` steps holds.

        At the end of a stage it is still that stage's optimiser.
        """
        later = range(self.first_stage + 1, len(self.stages))
        return max([self.first_stage, *(index for index in later if self.first_step(index) < step)])

    @property
    def steps(self) -> int:
        """Number of steps of all stages."""
        return self.first_step(len(self.stages))

    def spec(self) -> ModelSpec:
        """Parse the model's configuration.

        Raises:
            BadInput: the configuration is not that of a model.
        """
        return model_from_config(self.model, "config.model")


# Tables of the run that a stage inherits, key by key.
INHERITED = ("optimizer", "sprites")


def run_from_config(table: Mapping[str, Any]) -> Run:
    """Parse and check the configuration of a run.

    Args:
        table: nested dictionaries and lists. Keys that are absent have their defaults.

    Raises:
        BadInput: an unknown key, a value of the wrong type, out of range, or sizes that do not agree; it names the key.
    """
    run: Run = typed(Run, _with_inherited(table), "config")
    _check_run(run)
    for index, stage in enumerate(run.stages):
        _check_stage(f"config.stages[{index}]", stage)
    run.spec()
    return run


def _with_inherited(table: Any) -> Any:
    """Complete `optimizer` and `sprites` of each stage with the run's."""
    stages = table.get("stages")
    if not isinstance(stages, list | tuple) or not all(isinstance(stage, Mapping) for stage in stages):
        return table  # `typed` then names what is wrong
    completed = [dict(stage) for stage in stages]
    for key in INHERITED:
        common = table.get(key, {})
        for stage in completed:
            own = stage.get(key, {})
            if isinstance(common, Mapping) and isinstance(own, Mapping):
                stage[key] = {**common, **own}
    return {**table, "stages": completed}


def _check_run(run: Run) -> None:
    """Raise BadInput for values that types do not exclude."""
    if not run.out.strip():
        raise BadInput("config.out must be the folder of the run, such as runs/mine, and is empty")
    if not run.stages:
        raise BadInput("config.stages must hold at least one stage")
    if not 0 <= run.first_stage < len(run.stages):
        raise BadInput(f"config.first_stage must be from 0 to {len(run.stages) - 1}, not {run.first_stage}")
    if run.first_stage > 0 and not run.init_from:
        name = run.stages[run.first_stage].name
        raise BadInput(
            f"config.first_stage begins with {name!r}, which follows another stage: "
            "config.init_from must name a model folder with that one's result"
        )
    if not 0 <= run.ema_decay < 1:
        raise BadInput(f"config.ema_decay must be at least 0 and below 1, not {run.ema_decay}")
    if not 0 <= run.seed < 2**32:
        raise BadInput(f"config.seed must be from 0 to {2**32 - 1}, not {run.seed}")
    if run.sample_every < 0:
        raise BadInput(f"config.sample_every must be 0 or more, not {run.sample_every}")
    if run.data and run.task not in ("diffusion", "consistency", "adapters"):
        raise BadInput(
            f"config.data is for tasks diffusion, consistency and adapters: {run.task} is trained on the sprite world only"
        )
    if run.distillation.steps < 1 or run.distillation.huber < 0:
        raise BadInput("config.distillation: steps must be at least 1 and huber at least 0")
    check_rules(run.rules, "config.rules")
    for name in ("log_every", "save_every", "keep_checkpoints"):
        if getattr(run, name) < 1:
            raise BadInput(f"config.{name} must be at least 1, not {getattr(run, name)}")


def _check_stage(where: str, stage: Stage) -> None:
    for name in ("steps", "batch_size", "gradient_accumulation"):
        if getattr(stage, name) < 1:
            raise BadInput(f"{where}.{name} must be at least 1, not {getattr(stage, name)}")
    for name in ("frames", "images_every", "image_batch_size", "image_min_timestep"):
        if getattr(stage, name) < 0:
            raise BadInput(f"{where}.{name} must be 0 or more, not {getattr(stage, name)}")
    if bool(stage.images_every) != bool(stage.image_batch_size):
        raise BadInput(
            f"{where}: images_every and image_batch_size belong together: "
            f"both 0 or both above 0, not {stage.images_every} and {stage.image_batch_size}"
        )
    if not stage.image_batch_size and (stage.image_min_timestep or stage.image_conditions):
        raise BadInput(
            f"{where}: image_min_timestep and image_conditions apply to single images: "
            "set images_every and image_batch_size too"
        )
    for name in ("batch_size", "image_batch_size"):
        if getattr(stage, name) % stage.gradient_accumulation:
            raise BadInput(
                f"{where}.{name} must be a multiple of gradient_accumulation = {stage.gradient_accumulation}, "
                f"not {getattr(stage, name)}"
            )
    optimizer, dropout = stage.optimizer, stage.dropout
    if min(optimizer.learning_rate, optimizer.warmup_steps, optimizer.max_grad_norm) < 0:
        raise BadInput(f"{where}.optimizer: learning_rate, warmup_steps and max_grad_norm must be 0 or more")
    modes = (dropout.drop_all, dropout.sparse, dropout.keep_all)
    probabilities = (*modes, dropout.probability, *dropout.per_condition.values())
    if not all(0 <= p <= 1 for p in probabilities) or sum(modes) > 1:
        raise BadInput(f"{where}.dropout must hold probabilities, and drop_all + sparse + keep_all at most 1")
