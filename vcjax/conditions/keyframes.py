"""Keyframes: pictures that frames of the video are to show, for the mask condition, which hides all other frames.

A description is a JSON file or a dictionary:

```json
{
  "pictures": [{"frame": 0, "image": "first.png"}, {"frame": -1, "image": "last.png"}],
  "after": "walk.mp4",
  "overlap": 4
}
```
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np
from jaxtyping import Bool, UInt8

from vcjax.conditions.base import ClipShape, FilePath
from vcjax.conditions.media import WHITE, describe_source, frames_at, load_frames
from vcjax.errors import BadInput
from vcjax.input_files import read_json
from vcjax.settings import typed
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Keyframe:
    """A picture at a frame.

    Attributes:
        frame: index of the frame; negative ones count from the end, -1 is the last.
        image: an image file, or a clip in memory, of which the first frame is used.
    """

    frame: int
    image: Any


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Keyframes:
    """Pictures that frames of the video are to show.

    ```python
    composer(text="a red circle", mask=vcjax.keyframes({0: "first.png", -1: "last.png"}))
    composer(text="a red circle", mask=vcjax.keyframes(after="walk.mp4"))     # goes on where the video ends
    ```

    Attributes:
        pictures: pictures at frames.
        after: a video that this one continues: its last frames are the first ones.
        before: a video that this one leads to: its first frames are the last ones.
        overlap: number of frames that are common with `after`, and with `before`.
    """

    pictures: tuple[Keyframe, ...] = ()
    after: Any = None
    before: Any = None
    overlap: int = 4

    def __post_init__(self) -> None:
        if not self.pictures and self.after is None and self.before is None:
            raise BadInput("keyframes must have at least one picture, or a video in after or before")
        if self.overlap < 1:
            raise BadInput(f"overlap of keyframes must be at least 1 frame, not {self.overlap}")

    def frames(
        self, shape: ClipShape, size: tuple[int, int]
    ) -> tuple[UInt8[np.ndarray, "F H W 3"], Bool[np.ndarray, "F"]]:
        """Return the frames of a clip, and which of them are given; the others are black.

        Raises:
            BadInput: a keyframe lies outside of the clip or is given twice, or a file cannot be read.
        """
        from vcjax.video.resize import resize_crop

        frames = np.zeros((shape.frames, *size, 3), np.uint8)
        visible = np.zeros(shape.frames, bool)
        for first, images in self._pieces(shape):
            last = first + len(images)
            if first < 0 or last > shape.frames:
                raise BadInput(
                    f"a keyframe at frame {first if first < 0 else last - 1} is outside of the clip, whose frames are 0 to "
                    f"{shape.frames - 1}"
                )
            if visible[first:last].any():
                raise BadInput(
                    f"frame {first + int(visible[first:last].argmax())} has two keyframes: give one"
                )
            frames[first:last] = resize_crop(images, *size, rule="map")
            visible[first:last] = True
        return frames, visible

    def _pieces(self, shape: ClipShape) -> list[tuple[int, np.ndarray]]:
        """Return the first frame of each picture or video, and its images."""
        pieces = [
            (key.frame + shape.frames * (key.frame < 0), load_frames(key.image, shape, 1, WHITE))
            for key in self.pictures
        ]
        if self.after is not None:
            pieces.append((0, self._images(self.after, shape, last=True)[-self.overlap :]))
        if self.before is not None:
            images = self._images(self.before, shape, last=False)[: self.overlap]
            pieces.append((shape.frames - len(images), images))
        return pieces

    def _images(self, source: Any, shape: ClipShape, *, last: bool) -> np.ndarray:
        """Return at least the first or the last frames of a video, of a file no more than needed."""
        if isinstance(source, Clip):
            images = source.frames
        else:
            from vcjax.video.read import read

            start = max(0, frames_at(source, shape.fps) - self.overlap) / shape.fps if last else 0.0
            count = None if last else self.overlap
            images = read(source, fps=shape.fps, start=start, count=count, background=WHITE).frames
        if len(images) < self.overlap:
            raise BadInput(
                f"{describe_source(source)} has only {len(images)} of the {self.overlap} frames of the overlap: give a "
                "smaller overlap, or a longer video"
            )
        return images


def keyframes(
    pictures: Mapping[int, Any] | FilePath | None = None,
    *,
    after: Any = None,
    before: Any = None,
    overlap: int = 4,
) -> Keyframes:
    """Return keyframes for the mask condition.

    Args:
        pictures: images by frame, or a file of a description (see the docstring of this module).
        after: see `Keyframes`, as the other arguments.
        before: see `Keyframes`.
        overlap: see `Keyframes`.

    Raises:
        BadInput: the file cannot be read, or the description is not valid.
    """
    if isinstance(pictures, str | PathLike):
        return _read(pictures)
    given = tuple(Keyframe(frame=frame, image=image) for frame, image in (pictures or {}).items())
    return Keyframes(pictures=given, after=after, before=before, overlap=overlap)


def as_keyframes(source: Any) -> Keyframes | None:
    """Return keyframes, or those of a .json file or of a dictionary; None for any other source."""
    if isinstance(source, Keyframes):
        return source
    if isinstance(source, Mapping):
        return typed(Keyframes, source, "keyframes")
    if isinstance(source, str | PathLike) and pathlib.Path(source).suffix.lower() == ".json":
        return _read(source)
    return None


def _read(path: FilePath) -> Keyframes:
    return typed(Keyframes, read_json(path), f"{path}: keyframes")
