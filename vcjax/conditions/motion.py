"""The motion condition: motion vectors of the video codec or of any other source, in pixels per frame."""

import dataclasses
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32

from vcjax.conditions.base import ClipShape, Functions, Kind, MapCondition
from vcjax.conditions.media import describe_source, load_array
from vcjax.conditions.preview import draw_arrows
from vcjax.conditions.strokes import as_strokes
from vcjax.errors import BadInput
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Motion(MapCondition):
    """Displacement of each pixel since the previous frame: x to the right, y down; zero in the first frame.

    Attributes:
        form: how the codec's block vectors become a map. `centre` is the released model's: vectors of the
            source video in its own size, at the centres of their blocks, without rescaling. `blocks` fills
            each block, in pixels of the resized clip.
        bit_rate: bit rate of the re-encoding, bits per second.
        gop: frames from one intra frame to the next; 0 is the length of the clip.
    """

    name: ClassVar[str] = "motion"
    kind: ClassVar[Kind] = "temporal"
    channels: ClassVar[int] = 2
    summary: ClassVar[str] = "motion of objects and camera"
    accepts: ClassVar[str] = (
        "strokes (.json, .svg), or an array (.npy) in pixels per frame, x to the right and y down"
    )
    drawn_over: ClassVar[str] = "image"

    form: Literal["centre", "blocks"] = "centre"
    bit_rate: int = 200_000
    gop: int = 12

    def read(self, source: Any, shape: ClipShape, networks: Functions) -> Float32[np.ndarray, "F H W 2"]:
        """Read a finished motion field, or rasterise strokes."""
        strokes = as_strokes(source)
        array = load_array(source) if strokes is None else strokes.field(shape.frames, *self.size(shape))
        if array is None:
            raise BadInput(
                f"{describe_source(source)}: motion must be {self.accepts}; "
                "to extract it from a video, use vcjax.extract or --motion-from"
            )
        return self.validate(array, shape, describe_source(source))

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "F H W 2"]:
        """Return motion vectors of the clip, re-encoded in memory as MPEG-4 Part 2."""
        from vcjax.video.motion import codec_motion, rasterise
        from vcjax.video.resize import resize_crop, resize_crop_field

        size = self.size(shape)
        frames = clip.frames if self.form == "centre" else resize_crop(clip.frames, *size, rule="latent")
        coded = codec_motion(frames, fps=clip.fps, bit_rate=self.bit_rate, gop=self.gop or len(clip))
        field = rasterise(coded.vectors, *frames.shape[1:3], form=self.form)
        return resize_crop_field(field, *size) if self.form == "centre" else field

    def preview(self, array: np.ndarray, shape: ClipShape, over: np.ndarray | None = None) -> np.ndarray:
        """Return arrows over an image `[1, H, W, 3]` of the clip's size, or over black."""
        return draw_arrows(array, shape, over)
