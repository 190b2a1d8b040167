"""A training run as typed values, read at the edge from an ml_collections file (`configs/`)."""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from ml_collections import ConfigDict

from vcjax.errors import BadInput
from vcjax.parallel.mesh import MeshShape
from vcjax.parallel.rules import RULES, check_rules
from vcjax.settings import typed

Scenes = Literal["all", "simple"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer:
    """An Optax optimiser and its schedule, counted from the beginning of its stage.

    Attributes:
        name: of a function of `optax` that takes a learning rate, such as adamw, lion, adafactor.
        learning_rate: at the end of the warm-up.
        warmup: steps from 0 to it.
        decay: what follows: `constant`, `cosine` or `linear`, down to `final` at the end of the stage.
        final: share of the learning rate that is left at the end.
        weight_decay: for optimisers that have it; on kernels only.
        clip: largest norm of the gradient; 0 does not clip.
    """

    name: str = "adamw"
    learning_rate: float = 1e-4
    warmup: int = 0
    decay: Literal["constant", "cosine", "linear"] = "constant"
    final: float = 0.0
    weight_decay: float = 0.0
    clip: float = 1.0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Dropout:
    """How often conditions are left out in training (VideoComposer, section 4.1). Drawn for each sample alone.

    Attributes:
        all_dropped: probability that a sample has no condition.
        all_kept: probability that it has all of them.
        few: probability that it has none, one or two beside its text, as often each, and all as likely as any other, while
            the text is dropped as below. With eight conditions that are dropped independently one of them is hardly ever
            seen alone, and so is not obeyed alone.
        each: else, probability that a condition is dropped, independently, by its name.
        others: that of conditions which `each` does not name.
        text: what a dropped text is: `empty` (the empty string's embedding) or `zeros` (the original's training).
        style: what a dropped style is: `absent` (masked out), `null` (zeros through its MLP), `either` (a coin
            decides, so that the model knows both) or `zeros` (a token of zeros, the original's training).
    """

    all_dropped: float = 0.1
    all_kept: float = 0.1
    few: float = 0.0
    each: Mapping[str, float] = dataclasses.field(default_factory=dict)
    others: float = 0.5
    text: Literal["empty", "zeros"] = "empty"
    style: Literal["absent", "null", "either", "zeros"] = "either"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of a run.

    Attributes:
        name: for people.
        steps: optimiser steps.
        batch: clips a step.
        frames: of each clip; the model's where 0.
        accumulate: the batch is taken in so many pieces, one after the other.
        images_every: every so many steps the batch is one of single images instead; 0 is never. Those of the sprite world are
            the first frames of clips, or any frame, with its number, where the UNet has `frame_numbers`.
        images: how many of them.
        image_scenes: which of the sprite world they are of: `all`, or the `simple` ones, in which nothing but one object moves,
            on a straight line, and whose captions say whereto. What a direction is, is learned from these in minutes, from
            all of them hardly.
        image_lowest_t: timesteps below it are not trained with them.
        image_conditions: names of those that are given with them; as `conditions` where empty.
        conditions: names of those that are given; all of the model's where empty.
        dropout: how often they are left out.
        train: what is trained, as beginnings of parameter names such as `unet/` or `stc/motion`; all where empty.
        optimizer: of this stage; what it does not say is as the run's `optimizer` says.
    """

    name: str
    steps: int
    batch: int
    frames: int = 0
    accumulate: int = 1
    images_every: int = 0
    images: int = 0
    image_scenes: Scenes = "all"
    image_lowest_t: int = 0
    image_conditions: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    dropout: Dropout = dataclasses.field(default_factory=Dropout)
    train: tuple[str, ...] = ()
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)

    def given(self, known: Iterable[str], *, images: bool = False) -> tuple[str, ...]:
        """Names of the conditions that are given with clips or with single images, of those that the model knows."""
        return (images and self.image_conditions) or self.conditions or tuple(known)

    def is_on_images(self, step: int) -> bool:
        """Whether the batch of a step of this stage (its first is 0) is one of single images."""
        return self.images_every > 0 and step % self.images_every == self.images_every - 1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A whole run.

    Attributes:
        task: what is learned: a name in `vcjax.training.assemble.TASKS`.
        model: configuration of the model, as in a model folder's config.json.
        parts: built-in model or model folder with the trained networks that the task holds frozen.
        out: folder of the run: configuration, checkpoints, metrics, samples.
        data: folder of a prepared data set (`vcjax prepare`) to train from; where empty, the sprite world is.
        workers: processes that read it ahead; where 0, threads do.
        stages: one behind the other.
        optimizer: of every stage, where the stage does not say otherwise.
        first_stage: index of the stage to begin with; above 0 needs `start`.
        start: model folder that gives the first parameters, such as `vcjax export` made of another run.
        seed: of everything.
        ema: decay of the moving average of the parameters, once it has warmed up.
        weighting: of the loss over timesteps: `plain`, `clean` (that of the clean latent), or `min_snr` (arXiv 2303.09556,
            with gamma 5).
        timesteps: drawn `uniform`ly, their errors weighed, or `by_weight`: the same loss with less noise, since none is drawn
            that counts little, and each batch has low and high ones.
        dtype: compute type; parameters are float32.
        rematerialised: kinds of block, see `vcjax.models.unet.UNet`.
        mesh: how the devices of all hosts lie.
        rules: which parameters are split over the mesh, see `vcjax.parallel.rules`.
        programs: folder to keep compiled steps in, and to start from without tracing them; machine code, see
            `vcjax.parallel.stored`; none where empty.
        log_every: steps between lines of metrics.
        save_every: steps between checkpoints.
        keep: how many of the latest checkpoints are kept, beside the best.
        sample_every: steps between sample videos; 0 is never.
        fixed_clips: so many clips of the sprite world are seen, again and again, and their latents encoded once; 0 is all
            of it.
    """

    task: str
    model: Mapping[str, Any]
    parts: str = "tiny"
    out: str
    data: str = ""
    workers: int = 0
    stages: tuple[Stage, ...]
    optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
    first_stage: int = 0
    start: str = ""
    seed: int = 0
    ema: float = 0.999
    weighting: Literal["plain", "clean", "min_snr"] = "plain"
    timesteps: Literal["uniform", "by_weight"] = "uniform"
    dtype: Literal["float32", "bfloat16"] = "float32"
    rematerialised: tuple[Literal["residual", "spatial", "temporal"], ...] = ()
    mesh: MeshShape = dataclasses.field(default_factory=MeshShape)
    rules: tuple[Any, ...] = RULES
    programs: str = ""
    log_every: int = 50
    save_every: int = 1000
    keep: int = 2
    sample_every: int = 0
    fixed_clips: int = 0

    def begin_of(self, stage: int) -> int:
        """The step at which a stage begins."""
        return sum(before.steps for before in self.stages[:stage])

    def stage_of(self, done: int) -> int:
        """Index of the stage whose optimiser a state after `done` steps holds: at its very end it is still the old."""
        later = range(self.first_stage + 1, len(self.stages))
        return max([self.first_stage, *(index for index in later if self.begin_of(index) < done)])

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return self.begin_of(len(self.stages))


def run_from(config: Any) -> Run:
    """Typed values of a configuration, an ml_collections table or a plain one.

    Raises:
        BadInput: an unknown key, a value of the wrong type or out of range; it names the key.
    """
    run: Run = typed(Run, _with_optimizers(_plain(config)), "config")
    _check_run(run)
    for index, stage in enumerate(run.stages):
        _check_stage(f"config.stages[{index}]", stage)
    return run


def _plain(value: Any) -> Any:
    """Nested ml_collections tables as dictionaries and lists."""
    if isinstance(value, Mapping | ConfigDict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def _with_optimizers(config: Any) -> Any:
    """The configuration with the run's optimiser in every stage, below what the stage itself says."""
    common = config.get("optimizer", {})
    stages = config.get("stages")
    tables = [common, *stages, *(s.get("optimizer", {}) for s in stages)] if _tables(stages) else []
    if not tables or not _tables(tables):
        return config  # whose faults are then told with their place
    whole = [{**stage, "optimizer": {**common, **stage.get("optimizer", {})}} for stage in stages]
    return {**config, "stages": whole}


def _tables(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, Mapping) for value in values)


def _check_run(run: Run) -> None:
    """What types do not say."""
    if not run.stages:
        raise BadInput("config.stages must hold at least one stage")
    if not 0 <= run.first_stage < len(run.stages):
        raise BadInput(f"config.first_stage must be from 0 to {len(run.stages) - 1}, not {run.first_stage}")
    if run.first_stage > 0 and not run.start:
        name = run.stages[run.first_stage].name
        raise BadInput(
            f"config.first_stage begins with {name!r}, which follows another stage: "
            "config.start must name a model folder with that one's result"
        )
    if not 0 <= run.ema < 1:
        raise BadInput(f"config.ema must be at least 0 and below 1, not {run.ema}")
    if not 0 <= run.seed < 2**32:
        raise BadInput(f"config.seed must be from 0 to {2**32 - 1}, not {run.seed}")
    if min(run.fixed_clips, run.sample_every, run.workers) < 0:
        raise BadInput("config.fixed_clips, config.sample_every and config.workers must be 0 or more")
    if run.data and run.task != "diffusion":
        raise BadInput(f"config.data is for task diffusion: {run.task} learns from the sprite world alone")
    check_rules(run.rules, "config.rules")
    for name in ("log_every", "save_every", "keep"):
        if getattr(run, name) < 1:
            raise BadInput(f"config.{name} must be at least 1, not {getattr(run, name)}")


def _check_stage(where: str, stage: Stage) -> None:
    for name in ("steps", "batch", "accumulate"):
        if getattr(stage, name) < 1:
            raise BadInput(f"{where}.{name} must be at least 1, not {getattr(stage, name)}")
    if min(stage.frames, stage.images_every, stage.images, stage.image_lowest_t) < 0:
        raise BadInput(f"{where}: frames, images_every, images and image_lowest_t must be 0 or more")
    if bool(stage.images_every) != bool(stage.images):
        raise BadInput(
            f"{where}: images_every and images belong together: "
            f"both 0 or both above, not {stage.images_every} and {stage.images}"
        )
    if not stage.images and (stage.image_scenes != "all" or stage.image_lowest_t or stage.image_conditions):
        raise BadInput(
            f"{where}: image_scenes, image_lowest_t and image_conditions are of single images: set images_every and images too"
        )
    for name, size in {"batch": stage.batch, "images": stage.images}.items():
        if size % stage.accumulate:
            raise BadInput(
                f"{where}.{name} must be a multiple of accumulate = {stage.accumulate}, not {size}"
            )
    if stage.optimizer.learning_rate < 0 or stage.optimizer.warmup < 0 or stage.optimizer.clip < 0:
        raise BadInput(f"{where}.optimizer: learning_rate, warmup and clip must be 0 or more")
    dropout = stage.dropout
    fates = (dropout.all_dropped, dropout.few, dropout.all_kept)
    shares = (*fates, dropout.others, *dropout.each.values())
    if not all(0 <= share <= 1 for share in shares) or sum(fates) > 1:
        raise BadInput(f"{where}.dropout must hold probabilities, and all_dropped + few + all_kept at most 1")
