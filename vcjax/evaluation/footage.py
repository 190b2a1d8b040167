"""Scores on any prepared data set, of which no more is known than its records: captions, conditions and latents.

A video is asked for by the caption and one condition, and compared with the clip that both are of. There is no rule for
what an object is in real footage, so networks and the codec are asked.
"""

import dataclasses
import importlib
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8

from vcjax.composer import Composer
from vcjax.conditions.preview import side_by_side
from vcjax.data.records import IMAGES, Prepared
from vcjax.errors import BadInput
from vcjax.evaluation import perception
from vcjax.evaluation.board import Board, Protocol, decoded
from vcjax.evaluation.intervals import bootstrap
from vcjax.evaluation.report import markdown, write_scores
from vcjax.video.clip import Clip

Features = Callable[[UInt8[np.ndarray, "N F H W 3"]], Float[np.ndarray, "N D"]]

NOTHING, TEXT, MOTION, EVERYTHING = "nothing", "text", "motion", "everything"
CONSISTENCY, CLIPSIM = "consistency of frames (CLIP)", "agreement by CLIP (CLIPSIM)"
END_POINT, FRECHET = "end-point error of the codec's motion, pixels a frame", "Frechet video distance"
COLUMNS = ("setting", "measure", "value", "interval", "truth")


@dataclasses.dataclass(frozen=True)
class FootageSetting:
    """What videos are made from.

    Attributes:
        name: of the setting.
        given: conditions that records hold.
    """

    name: str
    given: tuple[str, ...]


class FootageBoard(Board):
    """Makes videos from the records of a prepared data set, and scores them.

    Args:
        composer: the model.
        protocol: how it is asked; its clips are spread evenly over the split.
        out: folder that keeps the videos.
        dataset: prepared for the model.
        split: of the data set.
        features: what the Frechet distance is taken of: from videos to a row of features each. Without it there is none.

    Raises:
        BadInput: a data set that was not prepared for the model, too few clips in the split, or a folder of another
            protocol.
    """

    def __init__(
        self,
        composer: Composer,
        protocol: Protocol,
        out: Path,
        dataset: Prepared,
        split: str,
        features: Features | None = None,
    ):
        if split.endswith(IMAGES):
            raise BadInput(f"split {split} holds single images: take one of clips")
        dataset.check_sizes(composer.shape, composer.latent)
        self._known = [name for name in dataset.conditions if name in composer.conditions]
        for name in self._known:
            dataset.check_condition(name, composer.conditions[name])
        self._dataset, self._split, self._features = dataset, split, features
        count = len(dataset.split(split))
        if protocol.clips > count:
            raise BadInput(f"{dataset.folder} has {count} clips in {split}: fewer than {protocol.clips}")
        evenly = np.linspace(0, count - 1, protocol.clips).round().astype(np.int32)
        super().__init__(composer, protocol, out, evenly)

    @cached_property
    def settings(self) -> tuple[FootageSetting, ...]:
        """Nothing, the caption, the caption with each other condition, and all of them."""
        others = [name for name in self._known if name != TEXT]
        return (
            FootageSetting(NOTHING, ()),
            FootageSetting(TEXT, (TEXT,)),
            *(FootageSetting(f"{TEXT} + {name}", (TEXT, name)) for name in others),
            *([FootageSetting(EVERYTHING, (TEXT, *others))] if len(others) > 1 else []),
        )

    @cached_property
    def captions(self) -> list[str]:
        """Of the clips at `indices`."""
        records = self._dataset.split(self._split, only=[])
        return [records[int(index)]["caption"] for index in self.indices]

    def given(self, setting: FootageSetting, place: int) -> dict[str, Any]:
        """The conditions of a setting, of the record at a place of `indices`."""
        maps = [name for name in setting.given if name != TEXT]
        index, conditions = int(self.indices[place]), self.composer.conditions
        stored = self._dataset.split(self._split, only=maps)[index]["conditions"] if maps else {}
        arrays = {name: conditions[name].at_load(stored[name], index) for name in maps}
        return arrays | ({TEXT: self.captions[place]} if TEXT in setting.given else {})

    def video(self, setting: FootageSetting, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        """The video of the record at a place of `indices`."""
        protocol = self.protocol
        return self.composer(
            **self.given(setting, place),
            steps=protocol.steps,
            guidance=protocol.guidance,
            away=(),
            seed=int(self.indices[place]),
        ).frames

    @cached_property
    def truth(self) -> UInt8[np.ndarray, "N F H W 3"]:
        """The clips themselves, as their latents hold them."""
        records = self._dataset.split(self._split, only=[])
        means = (records[int(index)]["mean"] for index in self.indices)
        return np.stack([decoded(self.composer, jnp.asarray(mean)) for mean in means])

    def scores(self, setting: FootageSetting) -> dict[str, dict[str, Any]]:
        """Each measure of a setting that has been made: mean, interval, and the same of the truth."""
        frames = self.frames(setting)
        value, truth = self._figures(frames), self._at_truth
        table: dict[str, dict[str, Any]] = {
            name: {**bootstrap(figures)._asdict(), "truth": float(truth[name].mean())}
            for name, figures in value.items()
        }
        if self._features is not None:
            distance = perception.frechet_distance(self._featured(frames), self._true_features)
            table[FRECHET] = {"value": distance, "truth": 0.0}
        return table

    @cached_property
    def _true_features(self) -> Float[np.ndarray, "N D"]:
        return self._featured(self.truth)

    def _featured(self, videos: UInt8[np.ndarray, "N F H W 3"]) -> Float[np.ndarray, "N D"]:
        """Features of videos.

        Raises:
            BadInput: they are not a row of finite numbers a video.
        """
        assert self._features is not None
        rows = np.asarray(self._features(videos), np.float64)
        if rows.ndim != 2 or len(rows) != len(videos) or not np.isfinite(rows).all():
            raise BadInput(
                f"--features must give finite numbers [{len(videos)}, D] for {len(videos)} videos, not {list(rows.shape)}"
            )
        return rows

    @cached_property
    def _wanted_motion(self) -> list[Float[np.ndarray, "F H W 2"]]:
        only = FootageSetting(MOTION, (MOTION,))
        return [self.given(only, place)[MOTION] for place in range(len(self.indices))]

    @cached_property
    def _at_truth(self) -> dict[str, np.ndarray]:
        return self._figures(self.truth)

    def _figures(self, videos: UInt8[np.ndarray, "N F H W 3"]) -> dict[str, np.ndarray]:
        """Each measure that the model and the data set allow, of each video."""
        composer, figures = self.composer, {}
        if composer.networks.vision is not None:
            side = composer.networks.vision.size
            seen = [perception.embeddings(frames, side, composer.functions) for frames in videos]
            figures[CONSISTENCY] = np.array([perception.frame_consistency(one) for one in seen])
            if composer.networks.pair is not None:
                pairs = zip(seen, self.captions, strict=True)
                figures[CLIPSIM] = np.array(
                    [perception.agreement(one, text, composer.functions) for one, text in pairs]
                )
        if MOTION in self._known:
            figures[END_POINT] = np.array([self._end_point(frames, i) for i, frames in enumerate(videos)])
        return figures

    def _end_point(self, frames: UInt8[np.ndarray, "F H W 3"], place: int) -> float:
        """Mean distance of the vectors that the codec finds in a video from those of the record."""
        motion, shape = self.composer.conditions[MOTION], self.composer.shape
        found = motion.extract(Clip(frames, shape.fps), shape, self.composer.functions, seed=0)
        return float(np.linalg.norm(found - self._wanted_motion[place], axis=-1).mean())


def report(board: FootageBoard, shown: int, out: Path) -> str:
    """Score what has been made, write json, a table and videos beside their conditions; returns the table.

    Args:
        board: it.
        shown: videos of each setting to write.
        out: the folder.
    """
    scores = {setting.name: board.scores(setting) for setting in board.settings}
    rows = [
        [
            setting,
            measure,
            f"{row['value']:.3g}",
            f"{row['low']:.3g} to {row['high']:.3g}" if "low" in row else "",
            f"{row['truth']:.3g}",
        ]
        for setting, measures in scores.items()
        for measure, row in measures.items()
    ]
    table = markdown(COLUMNS, rows)
    write_scores(out, scores, table)
    composer = board.composer
    for setting in board.settings:
        for place in range(shown):
            read = composer.read(board.given(setting, place), composer.shape)
            columns = {"wanted": board.truth[place], **composer.preview(read, composer.shape)}
            path = out / "shown" / f"{setting.name.replace(' ', '_')}-{place:04d}.webp"
            side_by_side({**columns, "result": board.one(setting, place)}, composer.shape.fps).save(path)
    return table


def features_of(name: str) -> Features:
    """The function MODULE:FUNCTION, from videos to features.

    Raises:
        BadInput: there is none.
    """
    module, _, function = name.partition(":")
    sys.path.insert(0, "")  # as for a script: what lies beside the user can be named
    try:
        found: Any = getattr(importlib.import_module(module), function)
    except (ImportError, ValueError, AttributeError) as error:
        raise BadInput(f"--features must name MODULE:FUNCTION, not {name!r}: {error}") from error
    finally:
        sys.path.remove("")
    if not callable(found):
        raise BadInput(f"--features must name a function, but {name} is {found!r}")
    return cast(Features, found)
