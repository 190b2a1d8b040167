"""The scoreboard: videos made in each setting, kept one by one, and how well they obey, between two anchors.

*none* is the setting without the condition, *truth* the clip itself through the autoencoder; both are measured on the
same clips with the same measures. A run that is stopped goes on where it was.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, UInt8

from vcjax.composer import Composer
from vcjax.data.sprites import Sprites
from vcjax.errors import BadInput
from vcjax.evaluation.board import Board, Protocol, decoded, encoded
from vcjax.evaluation.cases import clips_of, conditions_of
from vcjax.evaluation.intervals import Interval, bootstrap
from vcjax.evaluation.measures import ALWAYS, MEASURES, Measure, Videos
from vcjax.evaluation.settings import SETTINGS, Setting

# Sets of videos that are held at once: a setting's, none's, the truth's, and one condition's alone with its none.
KEPT_VIDEOS = 5


class Scoreboard(Board):
    """Makes videos of a model in settings of the sprite world, and scores them.

    ```python
    board = Scoreboard(vcjax.load("tiny"), protocol, Path("evaluation"))
    board.make(setting)
    board.scores(setting)    # {"path error of the object, pixels": {"value": ..., "low": ..., ...}}
    ```

    Args:
        composer: the model.
        protocol: how it is asked.
        out: folder that keeps the videos.

    Raises:
        BadInput: the model's clips are not square, or the folder holds videos of another protocol.
    """

    def __init__(self, composer: Composer, protocol: Protocol, out: Path):
        if composer.shape.height != composer.shape.width:
            raise BadInput(f"the sprite world is square, but clips of {composer.name} are not")
        super().__init__(composer, protocol, out)
        self._clips: dict[str, Sprites] = {}
        self._truth: dict[str, np.ndarray] = {}
        self._taken: dict[tuple[str | None, str, Callable[..., Any]], np.ndarray] = {}
        self._read: dict[tuple[str | None, str], Videos] = {}

    def clips(self, variant: str) -> Sprites:
        """The clips of the protocol in a variant, and their truth."""
        if variant not in self._clips:
            self._clips[variant] = clips_of(variant, self.indices, self.composer.shape)
        return self._clips[variant]

    def scores(self, setting: Setting, *, compared: bool = True) -> dict[str, dict[str, Any]]:
        """Each measure of a setting that has been made: mean, interval, and the same measure of the truth.

        Args:
            setting: it.
            compared: whether to compare it with its `none` setting, and with each condition of a pair alone, which have
                been made too. `share` is (value - none) / (truth - none), and in a pair `of_alone` is
                (pair - none) / (alone - none) with its interval, each against the clips that it is asked for.
        """
        wanted, alone = setting.wanted, dict(setting.alone)
        table = {}
        for measure in MEASURES:
            if measure.condition not in (ALWAYS, *setting.scored) or not self._can(measure):
                continue
            value = self._figures(setting.name, wanted, measure)
            if not value.size:  # of few clips there may be none that it is taken over
                continue
            row = bootstrap(value)._asdict()
            row["truth"] = float(self._figures(None, wanted, measure).mean())
            if compared:
                at_none = self._figures(setting.none, wanted, measure)
                row["none"] = float(at_none.mean())
                row["share"] = float(_ratio(row["value"] - row["none"], row["truth"] - row["none"]))
                if measure.condition in alone:
                    other = SETTINGS[alone[measure.condition]]
                    by_itself = self._figures(other.name, other.wanted, measure)
                    gain = by_itself - self._figures(other.none, other.wanted, measure)
                    row["of_alone"] = _of_alone(value - at_none, gain, measure.more_is_better)._asdict()
            table[measure.name] = row
        return table

    def _can(self, measure: Measure) -> bool:
        """Whether the model has the networks that a measure calls."""
        return all(network in self.composer.functions for network in measure.needs)

    def _figures(self, name: str | None, wanted: str, measure: Measure) -> Float[np.ndarray, "N"]:
        """A measure of the videos of a setting, or of the truth where there is none, against a variant; taken once."""
        key = (name, wanted, measure.of)
        if key not in self._taken:
            self._taken[key] = np.asarray(measure.of(self._videos(name, wanted)), np.float64)
        figures = self._taken[key]
        return figures[measure.over(self.clips(wanted))] if measure.over else figures

    def _videos(self, name: str | None, wanted: str) -> Videos:
        """The videos of a setting, or the truth, beside a variant. The last few are kept, for one measure after another."""
        if (name, wanted) not in self._read:
            if len(self._read) >= KEPT_VIDEOS:
                del self._read[next(iter(self._read))]
            frames = self._through(wanted) if name is None else self.frames(SETTINGS[name])
            composer = self.composer
            side = composer.networks.vision.size if composer.networks.vision else 0
            self._read[name, wanted] = Videos(
                frames, self.clips(wanted), self.indices, composer.functions, side
            )
        return self._read[name, wanted]

    def video(self, setting: Setting, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        """The video of the clip at a place of `indices`."""
        seed = int(self.indices[place])
        given: dict[str, Any] = {}
        for name, variant in setting.given:
            clip: Sprites = jax.tree.map(lambda leaf: leaf[place], self.clips(variant))
            given |= conditions_of(clip, (name,), self.composer.shape.fps, seed)
        weight = self.protocol.guidance if setting.guidance is None else setting.guidance
        return self.composer(**given, steps=self.protocol.steps, guidance=weight, away=(), seed=seed).frames

    def _through(self, variant: str) -> UInt8[np.ndarray, "N F H W 3"]:
        """The clips of a variant through the autoencoder."""
        if variant not in self._truth:
            clips = self.clips(variant).frames
            through = [decoded(self.composer, encoded(self.composer, frames)) for frames in clips]
            self._truth[variant] = np.stack(through)
        return self._truth[variant]


def _of_alone(pair: np.ndarray, alone: np.ndarray, more_is_better: bool) -> Interval:
    """The ratio of two gains over none; NaN where the condition alone is no better than none."""
    if alone.mean() * (1 if more_is_better else -1) <= 0:
        return Interval(np.nan, np.nan, np.nan)
    return bootstrap(pair, alone, of=_ratio)


def _ratio(a: Any, b: Any) -> np.ndarray:
    """a / b; NaN where b is nothing."""
    a, b = np.broadcast_arrays(a, b)
    return np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
