"""Evaluator for prepared data sets, with metrics that need only a record's caption, conditions and latents.

A video is generated from the caption and one condition and compared with the record's clip. There is no
ground truth for real videos, so the metrics use networks and the codec.
"""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from vcjax.composer.composer import Composer
from vcjax.conditions.base import Condition, Measure
from vcjax.conditions.preview import enlarge, previews, side_by_side
from vcjax.data.records import IMAGES, PreparedDataset
from vcjax.errors import BadInput
from vcjax.evaluation import perception
from vcjax.evaluation.evaluator import TEXT, EvalProtocol, Evaluator, decode_latents
from vcjax.evaluation.intervals import bootstrap
from vcjax.evaluation.metrics import better
from vcjax.evaluation.page import Notes, Table, markdown
from vcjax.evaluation.report import page_scale, write_scores
from vcjax.settings import finite, import_object
from vcjax.video.clip import Clip

Features = Callable[[UInt8[np.ndarray, "N F H W 3"]], Float[np.ndarray, "N D"]]

UNCONDITIONAL, ALL = "unconditional", "all conditions"
CONSISTENCY, CLIPSIM = "frame consistency (CLIP)", "CLIPSIM"
FRECHET = "Frechet video distance"
COLUMNS = ("case", "metric", "better", "value", "interval", "reference")
HIGHER_IS_BETTER = {CONSISTENCY: True, CLIPSIM: True, FRECHET: False}
NO_INTERVAL = "the Frechet distance is one number of all videos, so it has no interval over clips"


@dataclasses.dataclass(frozen=True)
class DatasetCase:
    """A set of conditions to generate videos from.

    Attributes:
        name: name of the case.
        conditions: names of the stored conditions that are used.
    """

    name: str
    conditions: tuple[str, ...]


class DatasetEvaluator(Evaluator):
    """Generates videos from the records of a prepared data set and scores them.

    Args:
        composer: the model.
        protocol: settings of the evaluation; its clips are spread evenly over the split.
        out: folder that stores the videos.
        dataset: data set that was prepared for the model.
        split: split of the data set.
        features: function from videos to a feature vector each, for the Frechet distance; None to leave that
            metric out.

    Raises:
        BadInput: the data set was not prepared for the model, the split has too few clips, or the folder
            holds videos of another protocol.
    """

    def __init__(
        self,
        composer: Composer,
        protocol: EvalProtocol,
        out: Path,
        dataset: PreparedDataset,
        split: str,
        features: Features | None = None,
    ):
        if split.endswith(IMAGES):
            raise BadInput(f"split {split} holds single images: give a split of clips")
        dataset.check_sizes(composer.shape, composer.latent_shape())
        self._available = [name for name in dataset.conditions if name in composer.conditions]
        for name in self._available:
            dataset.check_condition(name, composer.conditions[name])
        self._dataset, self._split, self._features = dataset, split, features
        count = len(dataset.split(split))
        if protocol.clips > count:
            raise BadInput(f"{dataset.folder} has {count} clips in {split}: fewer than {protocol.clips}")
        evenly_spaced = np.linspace(0, count - 1, protocol.clips).round().astype(np.int32)
        super().__init__(composer, protocol, out, evenly_spaced)
        for condition in self.measured:  # before hours of sampling
            given = self._given(condition, 0)
            for measure in condition.measures:
                _measured(measure, given, given)

    @cached_property
    def cases(self) -> tuple[DatasetCase, ...]:
        """Cases: unconditional, the caption, the caption with each other condition, and all of them."""
        others = [name for name in self._available if name != TEXT]
        return (
            DatasetCase(UNCONDITIONAL, ()),
            DatasetCase(TEXT, (TEXT,)),
            *(DatasetCase(f"{TEXT} + {name}", (TEXT, name)) for name in others),
            *([DatasetCase(ALL, (TEXT, *others))] if len(others) > 1 else []),
        )

    @cached_property
    def captions(self) -> list[str]:
        """Captions of the clips at `indices`."""
        records = self._dataset.split(self._split, only=[])
        return [records[int(index)]["caption"] for index in self.indices]

    def conditions(self, case: DatasetCase, position: int) -> dict[str, Any]:
        """Return the conditions of a case for the record at a position in `indices`."""
        maps = [name for name in case.conditions if name != TEXT]
        index, conditions = int(self.indices[position]), self.composer.conditions
        stored = self._dataset.split(self._split, only=maps)[index]["conditions"] if maps else {}
        arrays = {name: conditions[name].from_stored(stored[name], index) for name in maps}
        return arrays | ({TEXT: self.captions[position]} if TEXT in case.conditions else {})

    @cached_property
    def reference(self) -> UInt8[np.ndarray, "N F H W 3"]:
        """The clips of the records, decoded from their latents."""
        records = self._dataset.split(self._split, only=[])
        means = (records[int(index)]["mean"] for index in self.indices)
        return np.stack([decode_latents(self.composer, jnp.asarray(mean)) for mean in means])

    def scores(self, case: DatasetCase) -> dict[str, dict[str, Any]]:
        """Compute each metric of a case whose videos have been generated.

        Args:
            case: the case.

        Returns:
            By metric a row with the mean `value`, its interval (`low`, `high`; none for the Frechet distance)
            and the `reference`, the same metric of the clips themselves.
        """
        videos = self.videos(case)
        values, reference = self._values(videos), self._reference_values
        table: dict[str, dict[str, Any]] = {
            name: {**bootstrap(per_video)._asdict(), "reference": float(reference[name].mean())}
            for name, per_video in values.items()
        }
        if self._features is not None:
            distance = perception.frechet_distance(self._compute_features(videos), self._reference_features)
            table[FRECHET] = {"value": distance, "reference": 0.0}
        return table

    @cached_property
    def _reference_features(self) -> Float[np.ndarray, "N D"]:
        return self._compute_features(self.reference)

    def _compute_features(self, videos: UInt8[np.ndarray, "N F H W 3"]) -> Float[np.ndarray, "N D"]:
        """Compute the features of videos.

        Raises:
            BadInput: the result is not one vector of finite numbers per video.
        """
        assert self._features is not None
        rows = np.asarray(self._features(videos), np.float64)
        if rows.ndim != 2 or len(rows) != len(videos) or not np.isfinite(rows).all():
            raise BadInput(
                f"--features must give finite numbers [{len(videos)}, D] for {len(videos)} videos, not {list(rows.shape)}"
            )
        return rows

    @cached_property
    def measured(self) -> list[Condition]:
        """Conditions with measures, which the model can extract from its videos."""
        available = (self.composer.conditions[name] for name in self._available)
        return [c for c in available if c.measures and not c.missing_networks(self.composer.functions)]

    @property
    def higher_is_better(self) -> dict[str, bool]:
        """Whether a higher value is better, by metric."""
        measures = (measure for c in self.measured for measure in c.measures)
        return HIGHER_IS_BETTER | {measure.name: measure.higher_is_better for measure in measures}

    @cached_property
    def _reference_values(self) -> dict[str, np.ndarray]:
        return self._values(self.reference)

    def _values(self, videos: UInt8[np.ndarray, "N F H W 3"]) -> dict[str, np.ndarray]:
        """Compute for each video the metrics that the model and the data set support."""
        composer, values = self.composer, {}
        if composer.networks.vision is not None:
            size = composer.networks.vision.image_size
            embeddings = [perception.clip_embeddings(frames, size, composer.functions) for frames in videos]
            values[CONSISTENCY] = np.array([perception.frame_consistency(one) for one in embeddings])
            if composer.networks.text_projection is not None:
                pairs = zip(embeddings, self.captions, strict=True)
                values[CLIPSIM] = np.array(
                    [perception.clipsim(one, text, composer.functions) for one, text in pairs]
                )
        for condition in self.measured:
            pairs = [self._found_and_given(condition, frames, i) for i, frames in enumerate(videos)]
            for measure in condition.measures:
                values[measure.name] = np.array([_measured(measure, *pair) for pair in pairs])
        return values

    def _found_and_given(
        self, condition: Condition, frames: UInt8[np.ndarray, "F H W 3"], position: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return a condition that is extracted from a video, and that of the record at a position in `indices`."""
        composer, shape, seed = self.composer, self.composer.shape, int(self.indices[position])
        found = condition.extract(Clip(frames, shape.fps), shape, composer.functions, seed)
        return condition.checked(found, shape), self._given(condition, position)

    def _given(self, condition: Condition, position: int) -> np.ndarray:
        """Return a condition of the record at a position in `indices`."""
        case = DatasetCase(condition.name, (condition.name,))
        return self.conditions(case, position)[condition.name]


def _measured(measure: Measure, found: np.ndarray, given: np.ndarray) -> float:
    """Return a measure of a video.

    Raises:
        BadInput: it is not a finite number.
    """
    return finite(f"the measure {measure.name!r}", measure.compute(found, given))


def report(evaluator: DatasetEvaluator, shown: int, out: Path) -> str:
    """Score all cases, and write JSON, a table, and videos beside their conditions to a folder.

    Args:
        evaluator: evaluator that generated the videos.
        shown: number of videos of each case to write.
        out: folder to write to.

    Returns:
        The table.
    """
    scores = {case.name: evaluator.scores(case) for case in evaluator.cases}
    notes, rows, higher_is_better = Notes(), [], evaluator.higher_is_better
    for case, metrics in scores.items():
        for metric, row in metrics.items():
            interval = f"{row['low']:.3g} to {row['high']:.3g}" if "low" in row else notes.cell(NO_INTERVAL)
            numbers = [f"{row['value']:.3g}", interval, f"{row['reference']:.3g}"]
            rows.append([case, metric, better(higher_is_better[metric]), *numbers])
    table = markdown(Table("Scores of each case", COLUMNS, rows, notes.lines))
    write_scores(out, scores, table)
    for case in evaluator.cases:
        for position in range(shown):
            name = f"{case.name.replace(' ', '_')}-{position:04d}.webp"
            _comparison(evaluator, case, position).save(out / "shown" / name)
    return table


def _comparison(evaluator: DatasetEvaluator, case: DatasetCase, position: int) -> Clip:
    """Return a video that shows the clip, the conditions of a case and the generated video side by side."""
    composer, shape = evaluator.composer, evaluator.composer.shape
    scale, conditions = page_scale(shape), evaluator.conditions(case, position)
    arrays = composer.read(conditions, shape, int(evaluator.indices[position]))
    texts = {TEXT: conditions[TEXT]} if TEXT in conditions else {}
    columns = {
        "target": enlarge(evaluator.reference[position], scale),
        **previews(composer.conditions, arrays, shape, texts, scale),
        "result": enlarge(evaluator.video(case, position), scale),
    }
    return side_by_side(columns, shape.fps)


def load_features(name: str) -> Features:
    """Import a feature function.

    Args:
        name: MODULE:FUNCTION.

    Raises:
        BadInput: there is no such function.
    """
    found = import_object(name, "--features")
    if not callable(found):
        raise BadInput(f"--features must name a function, but {name} is {found!r}")
    return cast(Features, found)
