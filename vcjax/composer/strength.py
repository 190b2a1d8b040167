"""Strength of a condition: a number, varied over frames, over steps, and in space."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32, Int

from vcjax.conditions.base import ClipShape
from vcjax.conditions.drawing import Number
from vcjax.conditions.media import BLACK, brightness, describe_source, is_still, load_array, load_frames
from vcjax.errors import BadInput
from vcjax.settings import finite, typed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Strength:
    """Factor of the encoding of a map, and of the difference of text and style from their null embedding.

    It is the product of `value` and of what the other attributes say. Where it is 0, the condition is absent.

    ```python
    composer(depth=video, strength={"depth": vcjax.Strength(frames=((0, 1), (8, 0)), steps=(0, 60))})
    ```

    Attributes:
        value: a number.
        frames: curve over frames, (frame, factor) pairs in increasing order, linear between them and constant outside.
        steps: beginning and end in per cent of the noise schedule, from 0 (noise) to 100; the condition is absent at other
            timesteps. As in ComfyUI, the window is one of timesteps, so that it means the same for any number of steps.
        area: weights in space: an image or a video, of which white is 1 and black 0, or an array (.npy) of shape [H, W] or
            [F, H, W] in pixels of the video.
    """

    value: Number = 1.0
    frames: tuple[tuple[Number, ...], ...] | None = None
    steps: tuple[Number, ...] | None = None
    area: Any = None

    def __post_init__(self) -> None:
        finite("a strength", self.value)
        if self.frames is not None:
            _check_curve(self.frames)
        if self.steps is not None:
            start, end = self.steps if len(self.steps) == 2 else (np.nan, np.nan)
            if not 0 <= start < end <= 100:
                raise BadInput(
                    "steps of a strength must be a beginning and a later end in per cent, such as (0, 60), not "
                    f"{', '.join(f'{x:g}' for x in self.steps)}"
                )

    @property
    def constant(self) -> bool:
        """Whether it is the same in all frames and everywhere in them."""
        return self.frames is None and self.area is None

    @property
    def absent(self) -> bool:
        """Whether it is 0 throughout."""
        return self.value == 0 or (self.frames is not None and all(factor == 0 for _, factor in self.frames))

    def active(self, t: Int[np.ndarray, "K"], timesteps: int) -> np.ndarray:
        """Return at which timesteps the condition is present."""
        if self.steps is None:
            return np.ones(len(t), bool)
        percent = 100 * (1 - np.asarray(t) / (timesteps - 1))
        start, end = self.steps
        return (start <= percent) & ((percent < end) | (end == 100))

    def weights(
        self, shape: ClipShape, size: tuple[int, int], frames: Int[np.ndarray, "F"], area: np.ndarray | None
    ) -> Float32[np.ndarray, "#F #h #w 1"]:
        """Return the factors of frames of a map at the size of the latent.

        Args:
            shape: shape of the whole clip.
            size: height and width of the latent.
            frames: indices of the frames.
            area: result of `read_area`.
        """
        factor = np.full(1, self.value) if self.frames is None else self.value * self._curve(frames)
        weights = factor[:, None, None]
        if area is not None:
            weights = weights * _pool(area[frames] if len(area) > 1 else area, size)
        return weights[..., None].astype(np.float32)

    def _curve(self, frames: np.ndarray) -> np.ndarray:
        at, factor = np.array(self.frames, float).T
        return np.interp(frames, at, factor)

    def read_area(self, shape: ClipShape) -> Float32[np.ndarray, "_ H W"] | None:
        """Return the weights in space in pixels of the clip, for one or for all frames; None without.

        Raises:
            BadInput: the file cannot be read, or the array has another size or holds other than finite numbers.
        """
        if self.area is None:
            return None
        array = load_array(self.area)
        if array is None:
            frames = load_frames(self.area, shape, 1 if is_still(self.area) else shape.frames, BLACK)
            return brightness(frames, (shape.height, shape.width))[..., 0]
        target = (shape.height, shape.width)
        if array.shape not in (target, (1, *target), (shape.frames, *target)):
            raise BadInput(
                f"{describe_source(self.area)}: the area of a strength must have shape {list(target)} or "
                f"{[shape.frames, *target]}, not {list(array.shape)}"
            )
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise BadInput(f"{describe_source(self.area)}: the area of a strength must be finite numbers")
        return array.reshape(-1, *target).astype(np.float32)

    def to_json(self) -> Any:
        """Return a number where the strength is one, and else a table of what it consists of."""
        table = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        table = {name: value for name, value in table.items() if value is not None}
        return float(self.value) if set(table) == {"value"} else table


def strength_of(name: str, given: Any) -> Strength:
    """Return the strength of a condition from a number, a `Strength`, or a table of its attributes.

    Raises:
        BadInput: it is none of these, or is out of range; the message names the condition.
    """
    if isinstance(given, Strength):
        return given
    try:
        if isinstance(given, Mapping):
            return typed(Strength, given, "it")
        return Strength(value=finite("it", given))
    except BadInput as error:
        raise BadInput(f"strength of {name}: {error}") from error


def _check_curve(curve: Sequence[Sequence[Number]]) -> None:
    if not curve or any(len(pair) != 2 or not np.isfinite(pair).all() for pair in curve):
        raise BadInput(
            "frames of a strength must be pairs of a frame and a factor, such as (0, 1), (8, 0), not "
            f"{[list(pair) for pair in curve]}"
        )
    at = np.array(curve, float)[:, 0]
    if at[0] < 0 or (np.diff(at) <= 0).any():
        raise BadInput(
            f"frames of a strength must increase, from 0 at the earliest, not {[f'{x:g}' for x in at]}"
        )


def _pool(area: Float32[np.ndarray, "F H W"], size: tuple[int, int]) -> Float32[np.ndarray, "F h w"]:
    """Return means over the pixels of each latent; the sides are multiples of the latent's."""
    frames, height, width = area.shape
    return area.reshape(frames, size[0], height // size[0], size[1], width // size[1]).mean((2, 4))
