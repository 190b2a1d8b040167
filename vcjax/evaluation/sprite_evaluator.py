"""Evaluator for the sprite world: scores the videos of each case against the rendered ground truth.

A score is reported with the *baseline*, the score of the same case without the scored condition, and the
*reference*, the score of the target clip after encoding and decoding. Both use the same clips and metrics.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vcjax.composer.composer import Composer
from vcjax.data.sprites import Sprites
from vcjax.errors import BadInput
from vcjax.evaluation.cases import CASES, EvalCase
from vcjax.evaluation.condition_sources import conditions_from_clip, render_clips
from vcjax.evaluation.evaluator import EvalProtocol, Evaluator, decode_latents, posterior_mean
from vcjax.evaluation.intervals import Interval, bootstrap
from vcjax.evaluation.metrics import ALWAYS, METRICS, Metric, Videos

# The most that one metric needs: the case, its baseline, the reference, and a single condition with its
# baseline.
MAX_CACHED_VIDEOS = 5


class SpriteEvaluator(Evaluator):
    """Generates videos for cases of the sprite world and scores them.

    ```python
    evaluator = SpriteEvaluator(vcjax.load("tiny"), protocol, Path("evaluation"))
    evaluator.generate(case)
    evaluator.scores(case)    # {"trajectory error, pixels": {"value": ..., "low": ..., ...}}
    ```

    Args:
        composer: the model.
        protocol: settings of the evaluation.
        out: folder that stores the videos.

    Raises:
        BadInput: the model's clips are not square, or the folder holds videos of another protocol.
    """

    def __init__(self, composer: Composer, protocol: EvalProtocol, out: Path):
        if composer.shape.height != composer.shape.width:
            raise BadInput(f"the sprite world is square, but clips of {composer.name} are not")
        super().__init__(composer, protocol, out)
        self._clips: dict[str, Sprites] = {}
        self._references: dict[str, np.ndarray] = {}
        self._computed: dict[tuple[str | None, str, Callable[..., Any]], np.ndarray] = {}
        self._cached: dict[tuple[str | None, str], Videos] = {}

    def clips(self, variant: str) -> Sprites:
        """Return a variant of the protocol's clips with their ground truth."""
        if variant not in self._clips:
            self._clips[variant] = render_clips(variant, self.indices, self.composer.shape)
        return self._clips[variant]

    def scores(self, case: EvalCase, *, with_baseline: bool = True) -> dict[str, dict[str, Any]]:
        """Compute each metric of a case whose videos have been generated.

        Args:
            case: the case.
            with_baseline: whether to compare with the case's baseline and, for a pair, with each condition by
                itself; the videos of these cases must have been generated too.

        Returns:
            By metric a row with the mean `value`, its interval (`low`, `high`) and the `reference`. With
            baselines also `baseline`, `normalised`, which is (value - baseline) / (reference - baseline), and
            for a pair `relative_to_single`, which is (pair - baseline) / (single - baseline) with its
            interval. Each case is scored against its own target clips.
        """
        target, single_cases = case.target, dict(case.single)
        table = {}
        for metric in self._metrics(case):
            value = self._values(case.name, target, metric)
            if not value.size:  # with few clips the metric's subset may be empty
                continue
            row = bootstrap(value)._asdict()
            row["reference"] = float(self._values(None, target, metric).mean())
            if with_baseline:
                baseline = self._values(case.baseline, target, metric)
                row["baseline"] = float(baseline.mean())
                row["normalised"] = float(
                    _ratio(row["value"] - row["baseline"], row["reference"] - row["baseline"])
                )
                if metric.condition in single_cases:
                    single = CASES[single_cases[metric.condition]]
                    single_gain = self._values(single.name, single.target, metric)
                    single_gain = single_gain - self._values(single.baseline, single.target, metric)
                    relative = _relative_gain(value - baseline, single_gain, metric.higher_is_better)
                    row["relative_to_single"] = relative._asdict()
            table[metric.name] = row
        return table

    def absent(self, case: EvalCase) -> dict[str, str]:
        """Return the metrics of a case that `scores` has no row for, as none of the clips counts, and why."""
        clips = self.clips(case.target)
        return {
            metric.name: f"none of the evaluated clips is among those that count, {metric.subset_name}"
            for metric in self._metrics(case)
            if metric.subset and not metric.subset(clips).any()
        }

    def _metrics(self, case: EvalCase) -> list[Metric]:
        """Return the metrics that a case is scored for and whose networks the model has."""
        functions, scored = self.composer.functions, (ALWAYS, *case.scored)
        return [
            metric
            for metric in METRICS
            if metric.condition in scored and all(network in functions for network in metric.networks)
        ]

    def _values(self, name: str | None, target: str, metric: Metric) -> Float[np.ndarray, "N"]:
        """Return a metric of each video of a case against a variant, computed once.

        Args:
            name: name of the case; None for the reference.
            target: variant to compare with.
            metric: the metric.
        """
        key = (name, target, metric.compute)
        if key not in self._computed:
            self._computed[key] = np.asarray(metric.compute(self._videos(name, target)), np.float64)
        values = self._computed[key]
        return values[metric.subset(self.clips(target))] if metric.subset else values

    def _videos(self, name: str | None, target: str) -> Videos:
        """Return the videos of a case (None for the reference) with a variant; the last few are cached."""
        if (name, target) not in self._cached:
            if len(self._cached) >= MAX_CACHED_VIDEOS:
                del self._cached[next(iter(self._cached))]
            frames = self._reference(target) if name is None else self.videos(CASES[name])
            composer = self.composer
            image_size = composer.networks.vision.image_size if composer.networks.vision else 0
            self._cached[name, target] = Videos(
                frames, self.clips(target), self.indices, composer.functions, image_size
            )
        return self._cached[name, target]

    def conditions(self, case: EvalCase, position: int) -> dict[str, Any]:
        """Return the conditions that a video is generated from, by name, as a user passes them."""
        seed = int(self.indices[position])
        conditions: dict[str, Any] = {}
        for name, variant in case.sources:
            clip: Sprites = jax.tree.map(lambda leaf: leaf[position], self.clips(variant))
            conditions |= conditions_from_clip(clip, (name,), self.composer.shape.fps, seed)
        return conditions

    def guidance(self, case: EvalCase) -> dict[str, Any]:
        """Return the branches of guidance of a case, and their weights, as arguments of a request."""
        if not case.branches:
            return super().guidance(case) | ({} if case.guidance is None else {"guidance": case.guidance})
        return {"branches": case.branches, "guidance": case.guidance}

    def _reference(self, variant: str) -> UInt8[np.ndarray, "N F H W 3"]:
        """Return a variant of the clips after encoding and decoding by the autoencoder."""
        if variant not in self._references:
            clips = self.clips(variant).frames
            decoded = [
                decode_latents(self.composer, posterior_mean(self.composer, frames)) for frames in clips
            ]
            self._references[variant] = np.stack(decoded)
        return self._references[variant]


def _relative_gain(pair: np.ndarray, single: np.ndarray, higher_is_better: bool) -> Interval:
    """Return the ratio of two gains over the baseline; NaN if the single condition has no gain."""
    if single.mean() * (1 if higher_is_better else -1) <= 0:
        return Interval(np.nan, np.nan, np.nan)
    return bootstrap(pair, single, of=_ratio)


def _ratio(a: Any, b: Any) -> np.ndarray:
    """Return a / b; NaN where b is zero."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
