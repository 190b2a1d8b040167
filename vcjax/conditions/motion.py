"""The motion condition: motion vectors, of the codec or of any other source, in pixels a frame."""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind, MapCondition
from vcjax.conditions.media import array_of, name_of
from vcjax.conditions.preview import arrows
from vcjax.conditions.strokes import strokes_of
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion(MapCondition):
    """Where each pixel came from since the last frame: x to the right, y down, zero in the first frame.

    Attributes:
        form: `centre` is the released model's (vectors of the footage at its own size, at the centres of their
            blocks, not rescaled); `blocks` fills each block, in pixels of the resized clip.
        bit_rate: of the re-encoding, bits a second.
        gop: frames from one intra frame to the next; 0 is the whole clip.
    """

    name: ClassVar[str] = "motion"
    kind: ClassVar[Kind] = "sequence"
    channels: ClassVar[int] = 2
    summary: ClassVar[str] = "how things and camera move"
    accepts: ClassVar[str] = (
        "strokes (.json, .svg), or an array (.npy) of pixels a frame, x to the right and y down"
    )
    drawn_over: ClassVar[str] = "image"

    form: Literal["centre", "blocks"] = "centre"
    bit_rate: int = 200_000
    gop: int = 12

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 2"]:
        """A finished motion field, or drawn strokes made into one."""
        drawn = strokes_of(source)
        array = array_of(source) if drawn is None else drawn.field(shape.frames, *self.size(shape))
        if array is None:
            raise BadInput(
                f"{name_of(source)}: motion must be {self.accepts}; footage is extracted from, with vcjax.extract or --motion-from"
            )
        return self.checked(array, shape, name_of(source))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **aids: Any
    ) -> Float32[np.ndarray, "F H W 2"]:
        """Motion vectors of the footage, re-encoded in memory as MPEG-4 Part 2."""
        from vcjax.video.motion import codec_motion, rasterise
        from vcjax.video.resize import resize_crop, resize_crop_field

        size = self.size(shape)
        frames = clip.frames if self.form == "centre" else resize_crop(clip.frames, *size, rule="latent")
        coded = codec_motion(frames, fps=clip.fps, bit_rate=self.bit_rate, gop=self.gop or len(clip))
        field = rasterise(coded.vectors, *frames.shape[1:3], form=self.form)
        return resize_crop_field(field, *size) if self.form == "centre" else field

    def preview(self, array: np.ndarray, shape: ClipShape, over: np.ndarray | None = None) -> np.ndarray:
        """Arrows over a picture `[1, H, W, 3]` of the clip's size, or over black."""
        return arrows(array, shape, over)
