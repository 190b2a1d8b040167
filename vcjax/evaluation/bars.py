"""What a model of the sprite world has to reach: a bar for each task, told in the figures of the scoreboard."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

from vcjax.evaluation.measures import MEASURES
from vcjax.evaluation.settings import SETTINGS

Unit = Literal["", "of truth", "of none", "or 3 below truth", "of alone", "of alone, lower bound"]

Scores = Mapping[str, Mapping[str, Mapping[str, Any]]]  # by setting and measure
MORE_IS_BETTER = {measure.name: measure.more_is_better for measure in MEASURES}
PATH = "path error of the object, pixels"


@dataclasses.dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        setting: whose figure it is for.
        measure: the figure.
        limit: what it has to reach: to be at least, or at most where less is better.
        unit: of the limit: nothing, shares of an anchor, or, in a pair, of the way that the condition goes alone.
    """

    setting: str
    measure: str
    limit: float
    unit: Unit = ""

    def reached(self, row: Mapping[str, Any]) -> float:
        """The figure in the bar's unit, from a row of the scores; NaN where its anchor is zero."""
        if self.unit in ("", "or 3 below truth"):
            return row["value"]
        if self.unit.startswith("of alone"):
            return row["of_alone"]["value" if self.unit == "of alone" else "low"]
        anchor = row["truth" if self.unit == "of truth" else "none"]
        return row["value"] / anchor if anchor else math.nan

    def passed(self, row: Mapping[str, Any]) -> bool:
        """Whether a row of the scores is over the bar; a figure that is NaN is not."""
        value, limit = self.reached(row), self.limit
        if self.unit == "or 3 below truth":
            limit = min(limit, row["truth"] - 3)
        return value >= limit if self.more_is_better else value <= limit

    @property
    def more_is_better(self) -> bool:
        """Whether the figure is to be at least the limit; on the way to what it is alone it always is."""
        return self.unit.startswith("of alone") or MORE_IS_BETTER[self.measure]

    def __str__(self) -> str:
        """As people read it."""
        return f"at {'least' if self.more_is_better else 'most'} {self.limit:g} {self.unit}".strip()


def _pairs() -> list[Bar]:
    told = {
        (s.name, m.name)
        for s in SETTINGS.values()
        for m in MEASURES
        if s.alone and m.condition in s.scored and not m.needs and not m.over
    }
    return [
        bar
        for name, measure in sorted(told)
        for bar in (Bar(name, measure, 0.85, "of alone"), Bar(name, measure, 0.7, "of alone, lower bound"))
    ]


BARS = (
    Bar("text", "colour there", 0.97),
    Bar("text", "direction told", 0.85),
    Bar("text", "shape told", 0.85, "of truth"),
    Bar("style", "palette distance", 0.5, "of none"),
    Bar("style", "texture distance", 0.5, "of none"),
    Bar("text + image", "PSNR of the first frame, dB", 27.0, "or 3 below truth"),
    Bar("text + image", "object kept", 0.95),
    Bar("text + single_sketch", "F-score of the first frame", 0.8, "of truth"),
    Bar("text + motion", PATH, 0.5),
    Bar("text + motion", PATH, 0.1, "of none"),
    Bar("text + motion", "end-point error under a moving camera", 0.25, "of none"),
    Bar("text + depth", "rank correlation of depth", 0.85),
    Bar("text + depth", "overlap of what is near", 0.93, "of truth"),
    Bar("text + mask", "PSNR of the visible part, dB", 27.0, "or 3 below truth"),
    Bar("text + sketch", "F-score", 0.8, "of truth"),
    Bar("motion transfer", PATH, 0.8),
    Bar("strokes", "direction within 20 degrees", 0.95),
    Bar("strokes", PATH, 1.0),
    Bar("translation", "colour there", 0.95),
    Bar("translation", PATH, 0.8),
    *_pairs(),
)


def judged(scores: Scores, bars: tuple[Bar, ...] = BARS) -> list[tuple[Bar, float, bool]]:
    """Each bar that the scores have a figure for, with what was reached in its unit and whether that is enough."""
    return [
        (bar, bar.reached(row), bar.passed(row))
        for bar in bars
        if (row := scores.get(bar.setting, {}).get(bar.measure)) is not None
    ]
