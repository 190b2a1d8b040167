"""Videos of a model in one setting after another, kept one by one, so that a run that is stopped goes on where it was."""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from vcjax.composer import Composer
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.models.autoencoder import Autoencoder
from vcjax.parallel import compilation
from vcjax.programs import decode
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

PROTOCOL = "protocol.json"
SPRITES = "sprites:test"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be the same for two boards to be compared.

    Attributes:
        model: name and checksums of the model's files.
        clips: so many of the data; clip n is sampled with seed n.
        steps: of DDIM.
        guidance: its weight where a setting says nothing else.
        first: of the clips.
        data: what they are of: `SPRITES`, or a split of a prepared data set and the checksum of its description.
        dtype: that the model computes in.
    """

    model: dict[str, Any]
    clips: int
    steps: int
    guidance: float
    first: int = 0
    data: str = SPRITES
    dtype: str = "float32"


class Board(ABC):
    """Makes videos in settings.

    Args:
        composer: the model.
        protocol: how it is asked.
        out: folder that keeps the videos.
        indices: of the clips, int32 `[N]`; they are seeds too. By their number from the protocol's first on without it.

    Raises:
        BadInput: the folder holds videos of another protocol.
    """

    def __init__(
        self, composer: Composer, protocol: Protocol, out: Path, indices: Int32[np.ndarray, "N"] | None = None
    ):
        in_turn = np.arange(protocol.first, protocol.first + protocol.clips, dtype=np.int32)
        self.composer, self.protocol, self._out = composer, protocol, out
        self.indices = in_turn if indices is None else indices
        _agree(protocol, out / PROTOCOL)

    def make(self, setting: Any, places: Iterable[int] | None = None) -> None:
        """Make the videos of a setting that are not there yet: of all clips, or of those at these places of `indices`."""
        for place in range(len(self.indices)) if places is None else places:
            path = self._path(setting, place)
            if not path.exists():
                frames = self.video(setting, place)
                _write(self.protocol, self._out / PROTOCOL)
                with replacing(path) as unfinished:
                    np.save(unfinished, frames)

    def frames(self, setting: Any) -> UInt8[np.ndarray, "N F H W 3"]:
        """The videos of a setting that has been made."""
        return np.stack([self.one(setting, place) for place in range(len(self.indices))])

    def one(self, setting: Any, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        """One of them."""
        return np.load(self._path(setting, place))

    @abstractmethod
    def video(self, setting: Any, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        """The video of the clip at a place of `indices`."""

    def _path(self, setting: Any, place: int) -> Path:
        return self._out / "videos" / setting.name.replace(" ", "_") / f"{self.indices[place]:04d}.npy"


def decoded(composer: Composer, latents: Float[Array, "F h w c"]) -> UInt8[np.ndarray, "F H W 3"]:
    """Frames of latents."""
    return np.asarray(decode(composer.networks.autoencoder, composer.parameters("autoencoder"), latents))


def encoded(composer: Composer, frames: UInt8[np.ndarray, "F H W 3"]) -> Float[Array, "F h w c"]:
    """The posterior means of frames."""
    return _encode(composer.networks.autoencoder, composer.parameters("autoencoder"), frames)


@partial(compilation.jit, static_argnums=0)
def _encode(autoencoder: Autoencoder, parameters: Tree, frames: Array) -> Array:
    return apply(autoencoder, parameters, frames.astype(jnp.float32) / 127.5 - 1, method="encode").mean


def _agree(protocol: Protocol, path: Path) -> None:
    """Raise BadInput where another protocol has been written down."""
    if not path.is_file():
        return
    before = json.loads(path.read_text("utf-8"))
    for key, value in _table(protocol).items():
        if before.get(key) != value:
            raise BadInput(
                f"{path.parent} holds videos made with {key} {before.get(key)!r}, not {value!r}: give another folder"
            )


def _write(protocol: Protocol, path: Path) -> None:
    """Write the protocol down with the first video that could be made by it."""
    if not path.is_file():
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(_table(protocol), indent=1) + "\n", "utf-8")


def _table(protocol: Protocol) -> dict[str, Any]:
    """As json holds it."""
    return json.loads(json.dumps(dataclasses.asdict(protocol)))
