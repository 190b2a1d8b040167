"""Base classes of conditions: what every entry of the catalogue implements."""

import dataclasses
from collections.abc import Callable, Mapping
from os import PathLike
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int, UInt8

from vcjax.errors import BadInput
from vcjax.video.clip import Clip

Kind = Literal["tokens", "spatial", "temporal"]
Drawing = Literal["", "text", "strokes", "mask", "picture"]
Functions = Mapping[str, Callable[..., np.ndarray]]  # frozen networks by name, of NumPy arrays
FilePath = str | PathLike[str]

LIMIT_TOLERANCE = 1e-3  # rounding may exceed `MapCondition.limits` by this much


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClipShape:
    """Size and frame rate of a model's clips.

    Attributes:
        frames: number of frames.
        height: height in pixels.
        width: width in pixels.
        fps: frames per second.
    """

    frames: int
    height: int
    width: int
    fps: float

    def __post_init__(self) -> None:
        if min(self.frames, self.height, self.width) < 1 or not 0 < self.fps < np.inf:
            raise BadInput(
                "a clip needs at least one frame, at least one pixel and a frame rate above 0, not "
                f"{self.frames} frames of {self.height}x{self.width} at {self.fps} fps"
            )


@dataclasses.dataclass(frozen=True)
class SourceVideo:
    """Source video that a condition is to be extracted from; see `extract`.

    ```python
    composer(depth=vcjax.extract("walk.mp4"))
    ```

    Attributes:
        source: a video or image file, or a clip in memory.
        extract_options: keyword arguments of `Condition.extract`, such as `hide` of the mask condition.
    """

    source: FilePath | Clip
    extract_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def extract(source: FilePath | Clip, **extract_options: Any) -> SourceVideo:
    """Return a source video for the composer, which extracts the condition from it.

    Args:
        source: a file that FFmpeg or Pillow reads, or a clip.
        **extract_options: see `Condition.extract_options`.
    """
    return SourceVideo(source, extract_options)


@dataclasses.dataclass(frozen=True)
class Field:
    """One field of a stored record.

    Attributes:
        dtype: NumPy name of the type of numbers; `bytes` for files, such as images.
        shape: shape; None for an axis whose length differs between records.
        compressed: whether numbers are compressed, without loss.
    """

    dtype: str
    shape: tuple[int | None, ...]
    compressed: bool = False


class Measure(NamedTuple):
    """Measure of how well a video follows a condition.

    Attributes:
        name: display name, with the unit.
        higher_is_better: whether a higher value is better.
        compute: function from the condition that is extracted from the video, and the one that the video was generated
            from, to a number.
    """

    name: str
    higher_is_better: bool
    compute: Callable[[np.ndarray, np.ndarray], float]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Condition:
    """Base class of conditions. A subclass is a kind of condition; its fields are a model's settings.

    Class attributes:
        name: name in the Python interface, on the command line, in configurations and in records.
        kind: `tokens` (cross-attention), `spatial` (one map per clip) or `temporal` (one map per frame).
        channels: channels of a map; 0 for tokens.
        summary: one-line description for the help text.
        accepts: description of what `read` accepts, for help texts and error messages.
        networks: names of the frozen networks that `extract` calls.
        extract_options: descriptions of the further arguments of `extract`, by name.
        extractable: whether the condition can be extracted from a video.
        absent_is_null: for tokens, whether an absent condition is replaced by its null embedding; otherwise
            it is masked out.
        drawn_over: name of the condition whose preview is the background of this one's; `preview` then takes
            `over`.
        stored_as: description of the storage format in a prepared data set, and of its error.
        measures: measures of how well videos follow the condition, which `vcjax evaluate --data` computes.
        composites: whether the condition shows pixels of the video, which the video can keep.
        drawing: how a person can draw it: `text`, `strokes`, `mask`, `picture` (white lines on black), or not at all.
        words: inputs of which a string is a word and not a file: `value`, names of extract options, or keys in a table of
            either. Requests from the network can name no other strings.
    """

    name: ClassVar[str]
    kind: ClassVar[Kind]
    channels: ClassVar[int] = 0
    summary: ClassVar[str]
    accepts: ClassVar[str]
    networks: ClassVar[tuple[str, ...]] = ()
    extract_options: ClassVar[Mapping[str, str]] = {}
    extractable: ClassVar[bool] = True
    absent_is_null: ClassVar[bool] = False
    drawn_over: ClassVar[str] = ""
    stored_as: ClassVar[str] = ""
    measures: ClassVar[tuple[Measure, ...]] = ()
    composites: ClassVar[bool] = False
    drawing: ClassVar[Drawing] = ""
    words: ClassVar[tuple[str, ...]] = ()

    def at(self, value: Any, frame: int) -> Any:
        """Return the value of a token condition that holds at a frame, for one that changes with time."""
        return value

    def changes(self, value: Any) -> tuple[int, ...]:
        """Return the frames at which a token condition that changes with time does so."""
        return ()

    def window(self, array: np.ndarray, frames: Int[np.ndarray, "f"]) -> np.ndarray:
        """Return these frames of a temporal condition, as the condition of a clip that they are."""
        return array[frames]

    def streams(self, extract_options: Mapping[str, Any]) -> bool:
        """Return whether a part of a clip can be extracted without the rest, so that a long clip is never whole in memory."""
        return True

    def shown(
        self, array: np.ndarray, size: tuple[int, int]
    ) -> tuple[UInt8[np.ndarray, "F H W 3"], Bool[np.ndarray, "F H W"]]:
        """Return the pixels of the video that the condition shows, and where it shows them, for `composites`."""
        raise NotImplementedError

    def embed(self, array: np.ndarray, networks: Functions) -> np.ndarray:
        """Return the input of the token encoder, `[T, D]` or `[D]`, for the result of `read` or `extract`."""
        return array

    def null(self, shape: ClipShape, networks: Functions) -> np.ndarray:
        """Return the null embedding of a token condition, which guidance compares with."""
        raise NotImplementedError

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> np.ndarray:
        """Read a finished condition from a file, an array or text, as the array that the model takes.

        Raises:
            BadInput: the source cannot be read as this condition.
        """
        raise BadInput(f"{self.name} cannot be given as a finished condition")

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> np.ndarray:
        """Extract the condition from a clip.

        Args:
            clip: `shape.frames` frames of any size, at the model's frame rate.
            shape: shape of the model's clips.
            networks: frozen networks by name.
            seed: seed of what is drawn at random.
            **extract_options: see the class attribute `extract_options`.

        Raises:
            BadInput: the condition cannot be extracted, or the model lacks a network for it.
        """
        raise BadInput(f"{self.name} cannot be extracted from a video")

    def preview(self, array: np.ndarray, shape: ClipShape) -> UInt8[np.ndarray, "F H W 3"]:
        """Return an RGB preview at the size of the clip: one image, or one per frame."""
        raise NotImplementedError

    def stored_features(self, clip: Clip, caption: str, shape: ClipShape, networks: Functions) -> np.ndarray:
        """Compute the features of a clip that a prepared data set stores, the input of `from_stored`.

        Args:
            clip: `shape.frames` frames of any size.
            caption: caption of the clip.
            shape: shape of the model's clips.
            networks: frozen networks by name.

        Raises:
            BadInput: the condition cannot be extracted, or the model lacks a network for it.
        """
        return self.checked(self.extract(clip, shape, networks, seed=0), shape)

    def checked(self, array: np.ndarray, shape: ClipShape) -> np.ndarray:
        """Return what `extract` has returned, after checking it.

        Raises:
            BadInput: it is not what the condition says of itself.
        """
        return array

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the fields of a record that hold the stored features."""
        raise NotImplementedError

    def encode(self, stored: np.ndarray) -> dict[str, Any]:
        """Encode stored features as the fields of a record."""
        raise NotImplementedError

    def decode(self, stored: Mapping[str, Any]) -> np.ndarray:
        """Decode the fields of a record; the inverse of `encode` up to the error that `stored_as` states."""
        raise NotImplementedError

    def from_stored(self, stored: np.ndarray, seed: int) -> np.ndarray:
        """Return the array that the model takes, from stored features.

        Args:
            stored: result of `stored_features` or `decode`.
            seed: seed of what is drawn at random.
        """
        return stored

    def check_source(self, video: SourceVideo, networks: Functions) -> None:
        """Raise BadInput where this condition cannot be extracted, or not with these options."""
        if not self.extractable:
            raise BadInput(f"{self.name} cannot be extracted from a video: give {self.accepts}")
        self.require_networks(networks)
        for option in video.extract_options:
            if option not in self.extract_options:
                known = ", ".join(self.extract_options) or "none"
                raise BadInput(f"{self.name} has no extraction option {option!r}; known are: {known}")

    def missing_networks(self, networks: Functions) -> list[str]:
        """Return the names of the networks that `extract` calls and that the model lacks."""
        return [network for network in self.networks if network not in networks]

    def require_networks(self, networks: Functions) -> None:
        """Raise BadInput where the model lacks a network that `extract` calls."""
        if missing := self.missing_networks(networks):
            raise BadInput(
                f"{self.name} is extracted by a {missing[0]} network, which this model does not have: "
                f"give a finished {self.name} instead ({self.accepts})"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorCondition(Condition):
    """Token condition of one vector, which an MLP of the token encoder maps to one token.

    Attributes:
        embed_dim: size D of the vector.
    """

    stored_as: ClassVar[str] = "float32, exact"

    embed_dim: int = 1024

    def null(self, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "D"]:
        """Return zeros; these too pass through the MLP."""
        return np.zeros(self.embed_dim, np.float32)

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the field of the vector."""
        return {self.name: Field("float32", (self.embed_dim,))}

    def encode(self, stored: Float32[np.ndarray, "D"]) -> dict[str, Any]:
        """Return the vector unchanged."""
        return {self.name: stored}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "D"]:
        """Return the vector unchanged."""
        return stored[self.name]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MapCondition(Condition):
    """Condition of maps, float32 `[F, H, W, C]` with C = `channels`; F = 1 for a spatial condition.

    Attributes:
        scale: size of a map relative to the video (384 / 256 in the released model, except for motion).

    Class attributes:
        limits: minimum and maximum of the values.
    """

    limits: ClassVar[tuple[float, float]] = (-np.inf, np.inf)
    stored_as: ClassVar[str] = "float16, compressed: an error below 1/2048 of each value"

    scale: float = 1.0

    def size(self, shape: ClipShape) -> tuple[int, int]:
        """Return height and width of a map for a clip of this shape."""
        return round(shape.height * self.scale), round(shape.width * self.scale)

    def count(self, shape: ClipShape) -> int:
        """Return the number of maps for a clip of this shape."""
        return 1 if self.kind == "spatial" else shape.frames

    def fields(self, shape: ClipShape) -> dict[str, Field]:
        """Return the field of the maps."""
        return {self.name: Field("float16", (None, *self.size(shape), self.channels), compressed=True)}

    def encode(self, stored: Float32[np.ndarray, "F H W C"]) -> dict[str, Any]:
        """Encode the maps in half precision.

        Raises:
            BadInput: values outside the range of float16.
        """
        largest = np.finfo(np.float16).max
        if not (np.abs(stored) <= largest).all():
            raise BadInput(f"{self.name} must lie within {largest:g} of zero to be stored")
        return {self.name: stored.astype(np.float16)}

    def decode(self, stored: Mapping[str, Any]) -> Float32[np.ndarray, "F H W C"]:
        """Return the maps in single precision."""
        return stored[self.name].astype(np.float32)

    def checked(self, array: np.ndarray, shape: ClipShape) -> Float32[np.ndarray, "F H W C"]:
        """Return extracted maps after checking shape and values, see `validate`."""
        return self.validate(array, shape, f"{type(self).__name__}.extract")

    def validate(self, array: np.ndarray, shape: ClipShape, source: str) -> Float32[np.ndarray, "F H W C"]:
        """Return an array as float32 after checking its shape and values.

        Args:
            array: the array.
            shape: shape of the model's clips.
            source: name of the source in error messages.

        Raises:
            BadInput: wrong type or shape, values that are not finite, or values outside `limits`.
        """
        target = (self.count(shape), *self.size(shape), self.channels)
        if array.shape != target or array.dtype.kind not in "fiub":
            raise BadInput(
                f"{source}: {self.name} must be numbers of shape {list(target)}, "
                f"not {array.dtype} of shape {list(array.shape)}"
            )
        with np.errstate(over="ignore"):
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise BadInput(f"{source}: {self.name} must be finite in float32, but contains NaN or infinity")
        (low, high), least, most = self.limits, array.min(), array.max()
        if least < low - LIMIT_TOLERANCE or most > high + LIMIT_TOLERANCE:
            raise BadInput(
                f"{source}: {self.name} must lie in [{low:g}, {high:g}], not [{least:g}, {most:g}]"
            )
        return array
