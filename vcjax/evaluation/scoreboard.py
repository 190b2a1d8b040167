"""The scoreboard: videos made in each setting, kept one by one, and how well they obey, between two anchors.

*none* is the setting without the condition, *truth* the clip itself through the autoencoder; both are measured on the
same clips with the same measures. A run that is stopped goes on where it was.
"""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt8

from vcjax.composer import Composer, decode
from vcjax.data.sprites import Sprites
from vcjax.errors import BadInput
from vcjax.evaluation.cases import clips_of, conditions_of
from vcjax.evaluation.intervals import Interval, bootstrap
from vcjax.evaluation.measures import MEASURES, Videos
from vcjax.evaluation.settings import SETTINGS, Setting
from vcjax.files import replacing
from vcjax.models.autoencoder import Autoencoder
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

PROTOCOL = "protocol.json"
Tell = Callable[[str, int, int], None]  # a setting, videos done, videos in all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be the same for two scoreboards to be compared.

    Attributes:
        model: name and checksums of the model's files.
        clips: the first so many of the test split; clip n is sampled with seed n.
        steps: of DDIM.
        guidance: its weight where a setting says nothing else.
    """

    model: dict[str, Any]
    clips: int
    steps: int
    guidance: float


class Scoreboard:
    """Makes videos of a model in settings, and scores them.

    ```python
    board = Scoreboard(vcjax.load("tiny"), protocol, Path("evaluation"))
    board.make(setting, tell)
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
        self._composer, self._protocol, self._out = composer, protocol, out
        self._indices = np.arange(protocol.clips, dtype=np.int32)
        self._clips: dict[str, Sprites] = {}
        self._truth: dict[str, UInt8[np.ndarray, "N F H W 3"]] = {}
        _agree(protocol, out / PROTOCOL)

    def make(self, setting: Setting, tell: Tell = lambda name, done, total: None) -> None:
        """Make the videos of a setting that are not there yet."""
        for n in self._indices.tolist():
            tell(setting.name, n, len(self._indices))
            path = self._path(setting, n)
            if not path.exists():
                frames = self._video(setting, n)
                with replacing(path) as unfinished:
                    np.save(unfinished, frames)
        tell(setting.name, len(self._indices), len(self._indices))

    def frames(self, setting: Setting) -> UInt8[np.ndarray, "N F H W 3"]:
        """The videos of a setting that has been made."""
        return np.stack([np.load(self._path(setting, n)) for n in self._indices.tolist()])

    def clips(self, variant: str) -> Sprites:
        """The clips of the protocol in a variant, and their truth."""
        if variant not in self._clips:
            self._clips[variant] = clips_of(variant, self._indices, self._composer.shape)
        return self._clips[variant]

    def scores(self, setting: Setting) -> dict[str, dict[str, Any]]:
        """Each measure of a setting that has been made, as its anchors have: mean and interval.

        `share` is (value - none) / (truth - none). In a pair, `of_alone` is (pair - none) / (alone - none) with its
        interval.
        """
        own, none = self.frames(setting), self.frames(SETTINGS[setting.none])
        truth, alone = self._through(setting.wanted), dict(setting.alone)
        table = {}
        for measure in MEASURES:
            if measure.condition not in setting.scored:
                continue

            def of(frames: np.ndarray, variant: str = setting.wanted, measure: Any = measure) -> np.ndarray:
                videos = Videos(frames, self.clips(variant), self._indices)
                return np.asarray(measure.of(videos), np.float64)

            value, at_none, at_truth = of(own), of(none), of(truth)
            row = bootstrap(value)._asdict()
            row |= {"none": float(at_none.mean()), "truth": float(at_truth.mean())}
            row["share"] = float(_share(row["value"], row["truth"], row["none"]))
            if measure.condition in alone:
                other = SETTINGS[alone[measure.condition]]
                row["of_alone"] = _of_alone(value, of(self.frames(other), other.wanted), at_none)._asdict()
            table[measure.name] = row
        return table

    def _video(self, setting: Setting, n: int) -> UInt8[np.ndarray, "F H W 3"]:
        given: dict[str, Any] = {}
        for name, variant in setting.given:
            clip: Sprites = jax.tree.map(lambda leaf: leaf[n], self.clips(variant))
            given |= conditions_of(clip, (name,), self._composer.shape.fps, n)
        weight = self._protocol.guidance if setting.guidance is None else setting.guidance
        return self._composer(**given, steps=self._protocol.steps, guidance=weight, away=(), seed=n).frames

    def _through(self, variant: str) -> UInt8[np.ndarray, "N F H W 3"]:
        """The clips of a variant through the autoencoder."""
        if variant not in self._truth:
            autoencoder, parameters = (
                self._composer.networks.autoencoder,
                self._composer.parameters("autoencoder"),
            )
            latents = (encode(autoencoder, parameters, frames) for frames in self.clips(variant).frames)
            decoded = [np.asarray(decode(autoencoder, parameters, z)) for z in latents]
            self._truth[variant] = np.stack(decoded)
        return self._truth[variant]

    def _path(self, setting: Setting, n: int) -> Path:
        return self._out / "videos" / setting.name.replace(" ", "_") / f"{n:04d}.npy"


@partial(compilation.jit, static_argnums=0)
def encode(autoencoder: Autoencoder, parameters: Tree, frames: UInt8[Array, "F H W 3"]) -> Array:
    """The posterior means of frames."""
    return apply(autoencoder, parameters, frames.astype(jnp.float32) / 127.5 - 1, method="encode").mean


def _of_alone(pair: np.ndarray, alone: np.ndarray, none: np.ndarray) -> Interval:
    return bootstrap(pair, alone, none, of=_share)


def _share(value: Any, other: Any, none: Any) -> np.ndarray:
    """(value - none) / (other - none); NaN where the condition makes no difference to the other either."""
    value, other, none = np.broadcast_arrays(value, other, none)
    nothing = np.full(value.shape, np.nan)
    return np.divide(value - none, other - none, out=nothing, where=other != none)


def _agree(protocol: Protocol, path: Path) -> None:
    """Write the protocol down, or see that it is the one that is there."""
    table = json.loads(json.dumps(dataclasses.asdict(protocol)))
    if path.is_file():
        before = json.loads(path.read_text("utf-8"))
        for key, value in table.items():
            if before.get(key) != value:
                raise BadInput(
                    f"{path.parent} holds videos made with {key} {before.get(key)!r}, not {value!r}: give another folder"
                )
        return
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(table, indent=1) + "\n", "utf-8")
