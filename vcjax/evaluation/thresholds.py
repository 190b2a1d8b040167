"""Acceptance thresholds for a model of the sprite world, for each task and pair of conditions."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Final, Literal

from vcjax.evaluation.cases import CASES
from vcjax.evaluation.metrics import METRICS

RELATIVE: Final = "relative to single"
RELATIVE_BOUND: Final = "relative to single, lower bound"
Unit = Literal[
    "",
    "of reference",
    "of baseline",
    "or 3 dB below reference",
    "relative to single",
    "relative to single, lower bound",
]

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by case and metric
HIGHER_IS_BETTER = {metric.name: metric.higher_is_better for metric in METRICS}
TRAJECTORY = "trajectory error, pixels"


@dataclasses.dataclass(frozen=True)
class Threshold:
    """A limit for one metric of one case.

    Attributes:
        case: name of the case.
        metric: display name of the metric.
        limit: the least value that passes, or the greatest for a metric where lower is better.
        unit: unit of the limit: "" for the metric's own; "of reference" and "of baseline" for a ratio to that
            value; "relative to single" for a pair's gain over the gain of the condition by itself, or the
            lower bound of its interval; "or 3 dB below reference" for the lower one of the limit and the
            reference - 3.
    """

    case: str
    metric: str
    limit: float
    unit: Unit = ""

    def reached(self, row: Mapping[str, Any]) -> float:
        """Return the value in the threshold's unit, from a row of the scores; NaN if its anchor is 0."""
        if self.unit in ("", "or 3 dB below reference"):
            return row["value"]
        if self.unit.startswith(RELATIVE):
            return row["relative_to_single"]["value" if self.unit == RELATIVE else "low"]
        anchor = row["reference" if self.unit == "of reference" else "baseline"]
        return row["value"] / anchor if anchor else math.nan

    def passed(self, row: Mapping[str, Any]) -> bool:
        """Return whether a row of the scores passes; NaN does not."""
        value, limit = self.reached(row), self.limit
        if self.unit == "or 3 dB below reference":
            limit = min(limit, row["reference"] - 3)
        return value >= limit if self.is_lower_bound else value <= limit

    @property
    def is_lower_bound(self) -> bool:
        """Whether the value must be at least the limit; it is so for every relative gain."""
        return self.unit.startswith(RELATIVE) or HIGHER_IS_BETTER[self.metric]

    def __str__(self) -> str:
        """Return a readable form, such as "at least 0.85 of reference"."""
        return f"at {'least' if self.is_lower_bound else 'most'} {self.limit:g} {self.unit}".strip()


def _pair_thresholds() -> list[Threshold]:
    """Return the thresholds of the pairs of maps, for each metric without networks that all clips have."""
    scored = {
        (case.name, metric.name)
        for case in CASES.values()
        for metric in METRICS
        if case.single and metric.condition in case.scored and not metric.networks and not metric.subset
    }
    return [
        threshold
        for name, metric in sorted(scored)
        for threshold in (
            Threshold(name, metric, 0.85, RELATIVE),
            Threshold(name, metric, 0.7, RELATIVE_BOUND),
        )
    ]


THRESHOLDS = (
    Threshold("text", "colour accuracy", 0.97),
    Threshold("text", "direction accuracy", 0.85),
    Threshold("text", "shape accuracy", 0.85, "of reference"),
    Threshold("style", "palette distance", 0.5, "of baseline"),
    Threshold("style", "texture distance", 0.5, "of baseline"),
    Threshold("text + image", "PSNR of the first frame, dB", 27.0, "or 3 dB below reference"),
    Threshold("text + image", "object identity", 0.95),
    Threshold("text + single_sketch", "F-score of lines, first frame", 0.8, "of reference"),
    Threshold("text + motion", TRAJECTORY, 0.5),
    Threshold("text + motion", TRAJECTORY, 0.1, "of baseline"),
    Threshold("text + motion", "end-point error under a moving camera", 0.25, "of baseline"),
    Threshold("text + depth", "depth rank correlation", 0.85),
    Threshold("text + depth", "foreground IoU", 0.93, "of reference"),
    Threshold("text + mask", "PSNR of the visible region, dB", 27.0, "or 3 dB below reference"),
    Threshold("text + sketch", "F-score of lines", 0.8, "of reference"),
    Threshold("motion transfer", TRAJECTORY, 0.8),
    Threshold("strokes", "direction within 20 degrees", 0.95),
    Threshold("strokes", TRAJECTORY, 1.0),
    Threshold("translation", "colour accuracy", 0.95),
    Threshold("translation", TRAJECTORY, 0.8),
    *_pair_thresholds(),
)


def check_thresholds(
    scores: Scores, thresholds: tuple[Threshold, ...] = THRESHOLDS
) -> list[tuple[Threshold, float, bool]]:
    """Check the scores against the thresholds.

    Args:
        scores: rows by case and metric, as evaluators return them.
        thresholds: thresholds to check; those whose case or metric was not scored are skipped.

    Returns:
        Each checked threshold, the value in its unit, and whether it passed.
    """
    return [
        (threshold, threshold.reached(row), threshold.passed(row))
        for threshold in thresholds
        if (row := scores.get(threshold.case, {}).get(threshold.metric)) is not None
    ]
