"""Base class of the evaluators: generates and stores the videos of each case; an interrupted run resumes."""

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from vcjax.composer.compiled import decode, encode_frames
from vcjax.composer.composer import Composer
from vcjax.composer.request import Request
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.input_files import read_json
from vcjax.settings import defaults_of

PROTOCOL = "protocol.json"
SPRITES = "sprites:test"
TEXT = "text"  # condition that is the caption of a clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalProtocol:
    """Settings that must be equal for two evaluations to be comparable.

    Attributes:
        model: name and checksums of the model's files.
        clips: number of clips; clip n is sampled with seed n.
        steps: number of sampling steps.
        guidance: guidance scale of the cases that do not set their own.
        first: index of the first clip.
        data: source of the clips: `SPRITES`, or name and split of a prepared data set and the checksum of its
            description.
        dtype: compute dtype of the model.
        sampler: sampler, a key of `vcjax.diffusion.samplers.SAMPLERS`.
        settings: further settings of each request, such as guidance_interval and reuse_every.
    """

    model: dict[str, Any]
    clips: int
    steps: int
    guidance: float
    first: int = 0
    data: str = SPRITES
    dtype: str = "float32"
    sampler: str = "ddim"
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


DEFAULTS = defaults_of(EvalProtocol)  # of keys that a protocol of an earlier version lacks


class Evaluator(ABC):
    """Generates and stores the videos of evaluation cases.

    Args:
        composer: the model.
        protocol: settings of the evaluation.
        out: folder that stores the videos.
        indices: indices of the clips, int32 `[N]`, which are also the seeds; None for `protocol.clips`
            consecutive ones from `protocol.first` on.

    Raises:
        BadInput: the folder holds videos of another protocol.
    """

    def __init__(
        self,
        composer: Composer,
        protocol: EvalProtocol,
        out: Path,
        indices: Int32[np.ndarray, "N"] | None = None,
    ):
        consecutive = np.arange(protocol.first, protocol.first + protocol.clips, dtype=np.int32)
        self.composer, self.protocol, self._out = composer, protocol, out
        self.indices = consecutive if indices is None else indices
        _check_protocol(protocol, out / PROTOCOL)

    def generate(self, case: Any, positions: Iterable[int] | None = None) -> None:
        """Generate and store the videos of a case that are not stored yet.

        Args:
            case: the case.
            positions: positions in `indices` of the clips; None for all.
        """
        for position in range(len(self.indices)) if positions is None else positions:
            path = self._path(case, position)
            if not path.exists():
                frames = self.sample(case, position)
                _write_protocol(self.protocol, self._out / PROTOCOL)
                with replacing(path) as unfinished:
                    np.save(unfinished, frames)

    def videos(self, case: Any) -> UInt8[np.ndarray, "N F H W 3"]:
        """Load all videos of a case."""
        return np.stack([self.video(case, position) for position in range(len(self.indices))])

    def video(self, case: Any, position: int) -> UInt8[np.ndarray, "F H W 3"]:
        """Load the video of a case for the clip at a position in `indices`."""
        return np.load(self._path(case, position))

    def sample(self, case: Any, position: int) -> UInt8[np.ndarray, "F H W 3"]:
        """Generate the video of a case for the clip at a position in `indices`."""
        return self.composer.generate(self.request(case, position))[0].frames

    def request(self, case: Any, position: int) -> Request:
        """Return the request of the video of a case for the clip at a position in `indices`."""
        return self.composer.request(
            **self.conditions(case, position),
            **self.guidance(case),
            **self.protocol.settings,
            sampler=self.protocol.sampler,
            steps=self.protocol.steps,
            seed=int(self.indices[position]),
        )

    def guidance(self, case: Any) -> dict[str, Any]:
        """Return the branches of guidance of a case, and their weights, as arguments of a request."""
        return {"negative": (), "guidance": self.protocol.guidance}

    @abstractmethod
    def conditions(self, case: Any, position: int) -> dict[str, Any]:
        """Return the conditions of a case for the clip at a position in `indices`, as a user passes them."""

    def _path(self, case: Any, position: int) -> Path:
        return self._out / "videos" / case.name.replace(" ", "_") / f"{self.indices[position]:04d}.npy"


def decode_latents(composer: Composer, latents: Float[Array, "F h w c"]) -> UInt8[np.ndarray, "F H W 3"]:
    """Decode latents to frames with the composer's autoencoder."""
    return np.asarray(decode(composer.networks.autoencoder, composer.parameters("autoencoder"), latents))


def posterior_mean(composer: Composer, frames: UInt8[np.ndarray, "F H W 3"]) -> Float[Array, "F h w c"]:
    """Encode frames with the composer's autoencoder and return the mean of the posterior."""
    return encode_frames(composer.networks.autoencoder, composer.parameters("autoencoder"), frames).mean


def _check_protocol(protocol: EvalProtocol, path: Path) -> None:
    """Raise BadInput if the folder was written with another protocol."""
    if not path.is_file():
        return
    stored = read_json(path)
    for key, value in _as_json(protocol).items():
        if stored.get(key, DEFAULTS.get(key)) != value:
            raise BadInput(
                f"{path.parent} holds videos made with {key} {stored.get(key)!r}, not {value!r}: give another folder"
            )


def _write_protocol(protocol: EvalProtocol, path: Path) -> None:
    """Write the protocol, once: with the first video."""
    if not path.is_file():
        with replacing(path) as unfinished:
            unfinished.write_text(json.dumps(_as_json(protocol), indent=1) + "\n", "utf-8")


def _as_json(protocol: EvalProtocol) -> dict[str, Any]:
    """Return the protocol with the types that JSON reads back."""
    return json.loads(json.dumps(dataclasses.asdict(protocol)))
