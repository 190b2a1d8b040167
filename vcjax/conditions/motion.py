"""The motion condition: motion vectors of the video codec or of any other source, in pixels per frame."""

import dataclasses
import warnings
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float32, Int

from vcjax.conditions.base import ClipShape, Drawing, Functions, Kind, MapCondition, Measure
from vcjax.conditions.media import FileClip, describe_source, load_array
from vcjax.conditions.preview import draw_arrows
from vcjax.conditions.strokes import as_strokes
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.clip import Clip, is_repeated


def end_point_error(found: Float32[np.ndarray, "F H W 2"], given: Float32[np.ndarray, "F H W 2"]) -> float:
    """Return the mean distance of two motion fields, in pixels per frame."""
    return float(np.linalg.norm(found - given, axis=-1).mean())


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
    extract_options: ClassVar[dict[str, str]] = {
        "vectors": "encode (the default) re-encodes the sampled frames, stream takes the file's own vectors"
    }
    drawn_over: ClassVar[str] = "image"
    drawing: ClassVar[Drawing] = "strokes"
    words: ClassVar[tuple[str, ...]] = ("vectors", "easing")
    measures: ClassVar[tuple[Measure, ...]] = (
        Measure("end-point error of codec motion, pixels per frame", False, end_point_error),
    )

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

    def window(
        self, array: Float32[np.ndarray, "F H W 2"], frames: Int[np.ndarray, "f"]
    ) -> Float32[np.ndarray, "f H W 2"]:
        """Return the motion of these frames; the first of a clip has none."""
        return (
            array[frames] if frames[0] == 0 else np.concatenate([np.zeros_like(array[:1]), array[frames[1:]]])
        )

    def extract(
        self, clip: Clip, shape: ClipShape, networks: Functions, seed: int, **extract_options: Any
    ) -> Float32[np.ndarray, "F H W 2"]:
        """Return motion vectors of the clip, re-encoded in memory as MPEG-4 Part 2, or of its file's stream.

        With `vectors="stream"` the vectors are those of `vcjax.stream_motion`, in the same two forms, where
        `centre` has one per 16x16 macroblock.
        """
        vectors = extract_options.get("vectors", "encode")
        if vectors not in ("encode", "stream"):
            raise BadInput(f"vectors of motion must be 'encode' or 'stream', not {vectors!r}")
        if vectors == "stream":
            return self._of_stream(clip, shape)
        if is_repeated(clip.frames) or (len(clip) > 1 and (clip.frames == clip.frames[:1]).all()):
            warnings.warn(
                "the source of motion is a still image: its motion is zero everywhere",
                VcjaxWarning,
                stacklevel=2,
            )  # and not the noise of the codec
            return np.zeros((len(clip), *self.size(shape), 2), np.float32)
        from vcjax.video.motion import codec_motion, rasterise
        from vcjax.video.resize import resize_crop, resize_crop_field

        size = self.size(shape)
        frames = clip.frames if self.form == "centre" else resize_crop(clip.frames, *size, rule="latent")
        coded = codec_motion(frames, fps=clip.fps, bit_rate=self.bit_rate, gop=self.gop or len(clip))
        field = rasterise(coded.vectors, *frames.shape[1:3], form=self.form)
        return resize_crop_field(field, *size) if self.form == "centre" else field

    def _of_stream(self, clip: Clip, shape: ClipShape) -> Float32[np.ndarray, "F H W 2"]:
        """Return the motion that the clip's file holds; zero in frames that repeat the last one."""
        from vcjax.video.resize import resize_crop_field
        from vcjax.video.stream_motion import block_centres, stream_motion

        if not isinstance(clip, FileClip):
            raise BadInput("motion with vectors 'stream' needs a video file, not a clip in memory")
        size = self.size(shape)
        motion = stream_motion(
            clip.path,
            fps=clip.fps,
            count=len(clip),
            start=clip.start,
            size=None if self.form == "centre" else size,
        ).motion
        if self.form == "centre":
            motion = resize_crop_field(block_centres(motion), *size)
        return np.concatenate([motion, np.zeros((len(clip) - len(motion), *size, 2), np.float32)])

    def preview(self, array: np.ndarray, shape: ClipShape, over: np.ndarray | None = None) -> np.ndarray:
        """Return arrows over an image `[1, H, W, 3]` of the clip's size, or over black."""
        return draw_arrows(array, shape, over)
