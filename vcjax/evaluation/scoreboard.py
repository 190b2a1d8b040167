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
from jaxtyping import Array, Float, UInt8

from vcjax.composer import Composer, decode
from vcjax.data.sprites import Sprites
from vcjax.errors import BadInput
from vcjax.evaluation.cases import clips_of, conditions_of
from vcjax.evaluation.intervals import Interval, bootstrap
from vcjax.evaluation.measures import ALWAYS, MEASURES, Measure, Videos
from vcjax.evaluation.settings import SETTINGS, Setting
from vcjax.files import replacing
from vcjax.models.autoencoder import Autoencoder
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

PROTOCOL = "protocol.json"
KEPT_VIDEOS = (
    4  # sets of videos that are held at once: a setting's, none's, the truth's, and one condition's alone
)
Tell = Callable[[str, int, int], None]  # a setting, videos done, videos in all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be the same for two scoreboards to be compared.

    Attributes:
        model: name and checksums of the model's files.
        clips: so many of the test split; clip n is sampled with seed n.
        steps: of DDIM.
        guidance: its weight where a setting says nothing else.
        first: of the clips.
    """

    model: dict[str, Any]
    clips: int
    steps: int
    guidance: float
    first: int = 0


class Scoreboard:
    """Makes videos of a model in settings, and scores them.

    ```python
    board = Scoreboard(vcjax.load("tiny"), protocol, Path("evaluation"))
    board.make(setting, tell)
    board.scores(setting)    # {"path error of the object, pixels": {"value": ..., "low": ..., ...}}
    ```

    Attributes:
        indices: of the protocol's clips in the test split; they are seeds too.

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
        self.indices = np.arange(protocol.first, protocol.first + protocol.clips, dtype=np.int32)
        self._clips: dict[str, Sprites] = {}
        self._truth: dict[str, UInt8[np.ndarray, "N F H W 3"]] = {}
        self._taken: dict[tuple[str | None, str, str], np.ndarray] = {}
        self._read: dict[tuple[str | None, str], Videos] = {}
        _agree(protocol, out / PROTOCOL)

    def make(
        self,
        setting: Setting,
        tell: Tell = lambda name, done, total: None,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        """Make the videos of a setting that are not there yet.

        Args:
            setting: it.
            tell: is told how far it is.
            part: which of how many parts of the videos to make: several processes can share the work.
        """
        index, parts = part
        places = range(index, len(self.indices), parts)
        for done, place in enumerate(places):
            tell(setting.name, done, len(places))
            path = self._path(setting, int(self.indices[place]))
            if not path.exists():
                frames = self._video(setting, place)
                with replacing(path) as unfinished:
                    np.save(unfinished, frames)
        tell(setting.name, len(places), len(places))

    def frames(self, setting: Setting) -> UInt8[np.ndarray, "N F H W 3"]:
        """The videos of a setting that has been made."""
        return np.stack([np.load(self._path(setting, n)) for n in self.indices.tolist()])

    def clips(self, variant: str) -> Sprites:
        """The clips of the protocol in a variant, and their truth."""
        if variant not in self._clips:
            self._clips[variant] = clips_of(variant, self.indices, self._composer.shape)
        return self._clips[variant]

    def scores(self, setting: Setting, *, compared: bool = True) -> dict[str, dict[str, Any]]:
        """Each measure of a setting that has been made: mean, interval, and the same measure of the truth.

        Args:
            setting: it.
            compared: whether to compare it with its `none` setting, and with each condition of a pair alone, which have
                been made too. `share` is (value - none) / (truth - none), and in a pair `of_alone` is
                (pair - none) / (alone - none) with its interval.
        """
        wanted, alone = setting.wanted, dict(setting.alone)
        table = {}
        for measure in MEASURES:
            if measure.condition not in (ALWAYS, *setting.scored) or not self._can(measure):
                continue
            value = self._figures(setting.name, wanted, measure)
            row = bootstrap(value)._asdict()
            row["truth"] = float(self._figures(None, wanted, measure).mean())
            if compared:
                at_none = self._figures(setting.none, wanted, measure)
                row["none"] = float(at_none.mean())
                row["share"] = float(_share(row["value"], row["truth"], row["none"]))
                if measure.condition in alone:
                    other = SETTINGS[alone[measure.condition]]
                    of_other = self._figures(other.name, other.wanted, measure)
                    row["of_alone"] = _of_alone(value, of_other, at_none)._asdict()
            table[measure.name] = row
        return table

    def _can(self, measure: Measure) -> bool:
        """Whether the model has the networks that a measure calls."""
        return all(network in self._composer.functions for network in measure.needs)

    def _figures(self, name: str | None, wanted: str, measure: Measure) -> Float[np.ndarray, "N"]:
        """A measure of the videos of a setting, or of the truth where there is none, against a variant; taken once."""
        key = (name, wanted, measure.name)
        if key not in self._taken:
            self._taken[key] = np.asarray(measure.of(self._videos(name, wanted)), np.float64)
        return self._taken[key]

    def _videos(self, name: str | None, wanted: str) -> Videos:
        """The videos of a setting, or the truth, beside a variant. The last few are kept, for one measure after another."""
        if (name, wanted) not in self._read:
            if len(self._read) >= KEPT_VIDEOS:
                del self._read[next(iter(self._read))]
            frames = self._through(wanted) if name is None else self.frames(SETTINGS[name])
            composer = self._composer
            side = composer.networks.vision.size if composer.networks.vision else 0
            self._read[name, wanted] = Videos(
                frames, self.clips(wanted), self.indices, composer.functions, side
            )
        return self._read[name, wanted]

    def _video(self, setting: Setting, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        seed = int(self.indices[place])
        given: dict[str, Any] = {}
        for name, variant in setting.given:
            clip: Sprites = jax.tree.map(lambda leaf: leaf[place], self.clips(variant))
            given |= conditions_of(clip, (name,), self._composer.shape.fps, seed)
        weight = self._protocol.guidance if setting.guidance is None else setting.guidance
        return self._composer(**given, steps=self._protocol.steps, guidance=weight, away=(), seed=seed).frames

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
