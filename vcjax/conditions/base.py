"""`Condition`: one entry of the catalogue, and what every entry has to be able to do."""

import dataclasses
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32, UInt8

from vcjax.errors import BadInput
from vcjax.video.clip import Clip

Kind = Literal["tokens", "still", "sequence"]
Functions = Mapping[str, Callable[..., np.ndarray]]  # frozen networks, from host arrays to host arrays
FilePath = str | PathLike[str]

LIMIT_SLACK = 1e-3  # by which rounding may carry a value past its limit


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Size and rate of the clips that a model makes.

    Attributes:
        frames: number of frames.
        height: in pixels.
        width: in pixels.
        fps: frames a second.
    """

    frames: int
    height: int
    width: int
    fps: float

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1 or not 0 < self.fps < np.inf:
            raise BadInput(
                f"a clip needs at least one frame and one pixel and a rate above 0, not {self.frames} frames of "
                f"{self.height}x{self.width} at {self.fps} a second"
            )


@dataclasses.dataclass(frozen=True)
class Footage:
    """Footage from which a condition is to be extracted, rather than a finished condition.

    ```python
    composer(depth=vcjax.extract("walk.mp4"))
    ```

    Attributes:
        source: a file, or a clip in memory.
        aids: further inputs that a condition takes by name, such as the mask's `hide`.
    """

    source: FilePath | Clip
    aids: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def extract(source: FilePath | Clip, **aids: Any) -> Footage:
    """Say that a condition is to be taken from footage: a file that FFmpeg or Pillow reads, or a clip."""
    return Footage(source, aids)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a stored record.

    Attributes:
        dtype: of numbers, as numpy names it; `bytes` for files, such as pictures.
        shape: None where it differs from record to record.
        compressed: whether numbers are packed, without loss.
    """

    dtype: str
    shape: tuple[int | None, ...]
    compressed: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """One thing that a video can be composed from. A subclass is a family; its fields are a model's settings for it.

    Class attributes:
        name: the word for it, everywhere.
        kind: `tokens` (cross-attention), `still` (one map for the whole clip) or `sequence` (a map a frame).
        channels: of a map; width does not count for tokens.
        summary: one line for people.
        accepts: what a finished condition may be handed in as, for the command line's help.
        networks: frozen networks that `extract` calls.
        aids: further inputs of `extract`, by name, with one line for people each.
        extractable: whether it can be taken from footage at all.
        absent_is_null: whether a token condition that is not there is heard as its null; if not, it is masked out.
        drawn_over: condition over whose preview this one is drawn where both are given; `preview` then takes `over`.
        stored_as: the form in a prepared data set, and its error.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    channels: ClassVar[int] = 0
    summary: ClassVar[str]
    accepts: ClassVar[str]
    networks: ClassVar[tuple[str, ...]] = ()
    aids: ClassVar[Mapping[str, str]] = {}
    extractable: ClassVar[bool] = True
    absent_is_null: ClassVar[bool] = False
    drawn_over: ClassVar[str] = ""
    stored_as: ClassVar[str] = ""

    def embed(self, array: np.ndarray, networks: Functions) -> np.ndarray:
        """Of a token condition: what `read` or `extract` gave, as the token encoder takes it, `[T, D]` or `[E]`."""
        return array

    def null(self, shape: ClipShape, networks: Functions) -> np.ndarray:
        """Of a token condition: the embedding that guidance compares with."""
        raise NotImplementedError

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> np.ndarray:
        """A finished condition, from a file, an array or text, as the array that the model takes.

        Raises:
            BadInput: it cannot be read as this condition.
        """
        raise BadInput(f"{self.name} cannot be handed in finished")

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> np.ndarray:
        """The condition of footage that is already sampled at the model's rate and number of frames.

        Args:
            clip: `shape.frames` frames of any size.
            shape: the clip to be made.
            networks: frozen networks by name, each from host arrays to host arrays.
            seed: for what is drawn at random.
            aids: see `aids`.

        Raises:
            BadInput: the condition cannot be extracted, or not with what the model has.
        """
        raise BadInput(f"{self.name} cannot be extracted from footage")

    def preview(self, array: np.ndarray, shape: ClipShape) -> UInt8[np.ndarray, "F H W 3"]:
        """The condition as pictures of the clip's height and width, to look at: one, or one a frame."""
        raise NotImplementedError

    def material(self, clip: Clip, caption: str, shape: ClipShape, networks: Functions) -> np.ndarray:
        """What a prepared data set holds of a clip for this condition: all that `at_load` needs.

        Args:
            clip: `shape.frames` frames of any size.
            caption: of the clip.
            shape: the clip that a model makes.
            networks: frozen networks by name.

        Raises:
            BadInput: the condition cannot be extracted, or not with what the model has.
        """
        return self.extract(clip, shape, networks, seed=0)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """The fields of a record that hold the material."""
        raise NotImplementedError

    def encode(self, material: np.ndarray) -> dict[str, Any]:
        """The material as those fields."""
        raise NotImplementedError

    def decode(self, stored: Mapping[str, Any]) -> np.ndarray:
        """The material of those fields, but for the error that `stored_as` states."""
        raise NotImplementedError

    def at_load(self, material: np.ndarray, seed: int) -> np.ndarray:
        """The array that the model takes, from the material; what is drawn at random is drawn from the seed."""
        return material

    def check_footage(self, footage: Footage, networks: Functions) -> None:
        """Raise BadInput where this condition cannot be extracted, or not with the aids that are named."""
        if not self.extractable:
            raise BadInput(f"{self.name} cannot be extracted from footage: hand in {self.accepts}")
        self.need(networks)
        for aid in footage.aids:
            if aid not in self.aids:
                raise BadInput(
                    f"{self.name} takes no {aid!r} beside footage, only {', '.join(self.aids) or 'that'}"
                )

    def lacks(self, networks: Functions) -> list[str]:
        """The networks that `extract` calls and the model does not have."""
        return [network for network in self.networks if network not in networks]

    def need(self, networks: Functions) -> None:
        """Raise BadInput where the model lacks a network that `extract` calls."""
        if lacking := self.lacks(networks):
            raise BadInput(
                f"{self.name} is extracted by a {lacking[0]} network, which this model does not have: "
                f"hand in a finished {self.name} instead ({self.accepts})"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorCondition(Condition):
    """A token condition of one vector, which passes an MLP of the token encoder to become one token.

    Attributes:
        width: of the vector.
    """

    stored_as: ClassVar[str] = "float32, exact"

    width: int = 1024

    def null(self, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "D"]:
        """Zeros, which still pass the MLP."""
        return np.zeros(self.width, np.float32)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """The vector."""
        return {self.name: Field("float32", (self.width,))}

    def encode(self, material: Float32[np.ndarray, "D"]) -> dict[str, Any]:
        """As it is."""
        return {self.name: material}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "D"]:
        """As it is."""
        return stored[self.name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapCondition(Condition):
    """A condition of maps `[F, H, W, channels]` (F = 1 for a still), float32.

    Attributes:
        scale: size of a map, in units of the video's size (384 / 256 in the released model, but for motion).

    Class attributes:
        limits: least and greatest value.
    """

    limits: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    stored_as: ClassVar[str] = "float16, packed: an error below 1/2048 of each value"

    scale: float = 1.0

    def size(self, shape: ClipShape) -> tuple[int, int]:
        """Height and width of a map for a clip of this shape."""
        return round(shape.height * self.scale), round(shape.width * self.scale)

    def count(self, shape: ClipShape) -> int:
        """Number of maps for a clip of this shape."""
        return 1 if self.kind == "still" else shape.frames

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """The maps."""
        return {self.name: Field("float16", (None, *self.size(shape), self.channels), compressed=True)}

    def encode(self, material: Float32[np.ndarray, "F H W C"]) -> dict[str, Any]:
        """In half precision.

        Raises:
            BadInput: values that are too large for that.
        """
        largest = np.finfo(np.float16).max
        if not (np.abs(material) <= largest).all():
            raise BadInput(f"{self.name} must lie within {largest:g} of zero to be stored")
        return {self.name: material.astype(np.float16)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W C"]:
        """In single precision again."""
        return stored[self.name].astype(np.float32)

    def checked(self, array: np.ndarray, shape: ClipShape, source: str) -> Float32[np.ndarray, "F H W C"]:
        """The array as float32, if it has the shape that the model takes; BadInput otherwise."""
        wanted = (self.count(shape), *self.size(shape), self.channels)
        if array.shape != wanted or array.dtype.kind not in "fiub":
            raise BadInput(
                f"{source}: {self.name} must be numbers of shape {list(wanted)}, "
                f"not {array.dtype} of shape {list(array.shape)}"
            )
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise BadInput(f"{source}: {self.name} must be finite in float32, but holds NaN or infinity")
        (low, high), least, most = self.limits, array.min(), array.max()
        if least < low - LIMIT_SLACK or most > high + LIMIT_SLACK:
            raise BadInput(
                f"{source}: {self.name} must lie in [{low:g}, {high:g}], not [{least:g}, {most:g}]"
            )
        return array
