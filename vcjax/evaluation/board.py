"""Videos of a model in one setting after another, kept one by one, so that a run that is stopped goes on where it was."""

import dataclasses
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from vcjax.composer import Composer, decode
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.models.autoencoder import Autoencoder
from vcjax.parallel import compilation
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree

PROTOCOL = "protocol.json"
SPRITES = "sprites:test"
Tell = Callable[[str, int, int], None]  # a setting, videos done, videos in all


@dataclasses.dataclass(frozen=True, kw_only=True)
class Protocol:
    """What has to be the same for two boards to be compared.

    Attributes:
        model: name and checksums of the model's files.
        clips: so many of the data; clip n is sampled with seed n.
        steps: of DDIM.
        guidance: its weight where a setting says nothing else.
        first: of the clips.
        data: what they are of: `SPRITES`, or a split of a prepared data set.
    """

    model: dict[str, Any]
    clips: int
    steps: int
    guidance: float
    first: int = 0
    data: str = SPRITES


class Board:
    """Makes videos in settings.

    Attributes:
        composer: the model.
        protocol: how it is asked.
        indices: of the clips; they are seeds too.

    Args:
        composer: the model.
        protocol: how it is asked.
        out: folder that keeps the videos.

    Raises:
        BadInput: the folder holds videos of another protocol.
    """

    def __init__(self, composer: Composer, protocol: Protocol, out: Path):
        self.composer, self.protocol, self._out = composer, protocol, out
        self.indices = np.arange(protocol.first, protocol.first + protocol.clips, dtype=np.int32)
        _agree(protocol, out / PROTOCOL)

    def make(
        self,
        setting: Any,
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
            path = self._path(setting, place)
            if not path.exists():
                frames = self.video(setting, place)
                with replacing(path) as unfinished:
                    np.save(unfinished, frames)
        tell(setting.name, len(places), len(places))

    def frames(self, setting: Any) -> UInt8[np.ndarray, "N F H W 3"]:
        """The videos of a setting that has been made."""
        return np.stack([np.load(self._path(setting, place)) for place in range(len(self.indices))])

    def video(self, setting: Any, place: int) -> UInt8[np.ndarray, "F H W 3"]:
        """The video of the clip at a place of `indices`."""
        raise NotImplementedError

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
