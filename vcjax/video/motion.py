"""Motion vectors of the codec: how blocks of pixels moved from one frame to the next, found by re-encoding a clip.

The clip is encoded and decoded again in memory as MPEG-4 Part 2, and the decoder hands out the vectors that the
encoder chose. This is where VideoComposer's motion condition comes from (paper, section 3.2).
"""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, cast

import numpy as np
from av.codec.context import Flags, Flags2
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from jaxtyping import Bool, Float32, UInt8

from vcjax.errors import BadInput
from vcjax.video.clip import frame_period

BIT_RATE = 200_000  # bits a second: FFmpeg's default, with which the released model was trained
GOP = 12  # frames from one intra frame to the next: likewise
CELL = 8  # pixels: vectors belong to blocks of 16x16 or, where a macroblock is split in four, 8x8
LARGEST = 8191  # pixels a side that MPEG-4 Part 2 can code (13 bits)

# FFmpeg's AVMotionVector (libavutil/motion_vector.h), as PyAV hands it out
VECTOR = np.dtype(
    [
        ("source", np.int32),  # -1: the block comes from the past, +1: from the future
        ("w", np.uint8),
        ("h", np.uint8),
        ("src_x", np.int16),
        ("src_y", np.int16),
        ("dst_x", np.int16),  # centre of the block in this frame
        ("dst_y", np.int16),
        ("flags", np.uint64),
        ("motion_x", np.int32),  # source minus destination, in 1/motion_scale pixels
        ("motion_y", np.int32),
        ("motion_scale", np.uint16),
    ],
    align=True,
)


@dataclasses.dataclass(frozen=True, eq=False)
class CodecMotion:
    """A clip after re-encoding, and the motion that its codec saw.

    Attributes:
        pictures: the re-encoded frames as the decoder hands them out.
        vectors: for each frame its vectors, a structured array of type `VECTOR`; empty for intra frames.
    """

    pictures: list[VideoFrame]
    vectors: list[np.ndarray]

    @cached_property
    def frames(self) -> UInt8[np.ndarray, "F H W 3"]:
        """The re-encoded frames, RGB; not converted before they are asked for."""
        return np.stack([picture.to_ndarray(format="rgb24") for picture in self.pictures])


def codec_motion(
    frames: UInt8[np.ndarray, "F H W 3"],
    *,
    fps: float | int,
    bit_rate: int = BIT_RATE,
    gop: int = GOP,
    four_vectors: bool = False,
) -> CodecMotion:
    """Re-encode frames in memory as MPEG-4 Part 2 and return them with the codec's motion vectors.

    ```python
    found = codec_motion(clip.frames, fps=clip.fps)
    motion = rasterise(found.vectors, clip.height, clip.width, form="centre")    # [F, H, W, 2]
    ```

    Args:
        frames: the clip, any size from 1x1.
        fps: frames a second; with `bit_rate` it says how many bits a frame may take.
        bit_rate: bits a second. More bits, truer vectors.
        gop: frames from one intra frame to the next; intra frames have no vectors.
        four_vectors: let the encoder split a block of 16x16 pixels into four of 8x8 with a vector each.

    Raises:
        BadInput: no frames, frames larger than the codec can hold, or a rate, bit rate or GOP out of range.
    """
    _check(frames, bit_rate, gop)
    encoder = _encoder(frames, fps, bit_rate, gop, four_vectors)
    decoder = cast(VideoCodecContext, VideoCodecContext.create("mpeg4", "r"))
    decoder.thread_count = 1
    decoder.flags2 |= Flags2.export_mvs
    pictures, vectors = [], []
    for picture in _transcode(frames, encoder, decoder):
        pictures.append(picture)
        found = picture.side_data.get("MOTION_VECTORS")
        vectors.append(np.empty(0, VECTOR) if found is None else np.frombuffer(bytes(found), VECTOR))
    return CodecMotion(pictures, vectors)


def rasterise(
    vectors: Sequence[np.ndarray], height: int, width: int, *, form: Literal["centre", "blocks"]
) -> Float32[np.ndarray, "F {height} {width} 2"]:
    """Lay vectors out as an image of motion (x, y), in pixels a frame: content moving right and up gives (+, -).

    Args:
        vectors: for each frame an array of type `VECTOR`.
        height: height of the frames in pixels.
        width: width of the frames in pixels.
        form: "centre" writes each vector at the centre pixel of its block, clipped into the frame, the last one
            winning (what the released weights know); "blocks" fills the block.

    Returns:
        The motion; zero in intra blocks, and with "centre" everywhere but at the centres.
    """
    frame, vector = _flatten(vectors)
    motion = np.stack([vector["motion_x"], vector["motion_y"]], axis=-1) * vector["source"][:, None]
    motion = (motion / vector["motion_scale"][:, None]).astype(np.float32)
    if form == "blocks":
        return _fill_blocks(frame, vector, motion, (len(vectors), height, width))
    field = np.zeros((len(vectors), height, width, 2), np.float32)
    field[frame, vector["dst_y"].clip(0, height - 1), vector["dst_x"].clip(0, width - 1)] = motion
    return field


def inter_coded(
    vectors: Sequence[np.ndarray], height: int, width: int
) -> Bool[np.ndarray, "F {height} {width}"]:
    """Which pixels lie in blocks that the codec predicted from another frame, that is, where motion is known.

    Args:
        vectors: for each frame an array of type `VECTOR`.
        height: height of the frames in pixels.
        width: width of the frames in pixels.
    """
    frame, vector = _flatten(vectors)
    return _fill_blocks(frame, vector, np.ones((len(vector), 1), bool), (len(vectors), height, width))[..., 0]


def sampling_rate(seconds: float | int, count: int, fps: float | int) -> float:
    """Frames a second at which a clip is sampled: `fps`, or faster where the clip is too short for `count` frames.

    The released model's rule for 16 frames at 4 a second: where duration x 4 <= 16 the rate is int(16 / duration) + 1.

    ```python
    sampling_rate(10.0, count=16, fps=4)    # 4
    sampling_rate(2.9, count=16, fps=4)     # 6
    ```

    Args:
        seconds: length of the clip.
        count: frames that are needed.
        fps: frames a second that are wanted.

    Raises:
        BadInput: a length that is not above 0.
    """
    if not seconds > 0:
        raise BadInput(f"the length of a clip must be above 0 seconds, not {seconds}")
    return float(int(count / seconds) + 1) if seconds * fps <= count else float(fps)


def _check(frames: np.ndarray, bit_rate: int, gop: int) -> None:
    if 0 in frames.shape or max(frames.shape[1:3]) > LARGEST:
        raise BadInput(
            f"motion is found in at least one frame of 1x1 to {LARGEST}x{LARGEST} pixels, not in {list(frames.shape)}"
        )
    largest = 2**31 - 1  # FFmpeg's int
    if not (1 <= bit_rate <= largest and 1 <= gop <= largest):
        raise BadInput(f"bit rate and GOP of the codec must be from 1 to {largest}, not {bit_rate} and {gop}")


def _encoder(
    frames: np.ndarray, fps: float | int, bit_rate: int, gop: int, four_vectors: bool
) -> VideoCodecContext:
    encoder = VideoCodecContext.create("mpeg4", "w")
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt = "yuv420p"
    encoder.time_base = frame_period(fps)
    encoder.framerate = 1 / encoder.time_base
    encoder.bit_rate = bit_rate
    encoder.gop_size = gop
    # More threads would cut the frame into slices, and the vectors would depend on the machine.
    encoder.thread_count = 1
    if four_vectors:
        encoder.flags |= Flags.four_mv
    return encoder


def _transcode(
    frames: np.ndarray, encoder: VideoCodecContext, decoder: VideoCodecContext
) -> Iterator[VideoFrame]:
    """The frames as the decoder sees them after the encoder; None at the end of either flushes it."""
    *others, last = np.ascontiguousarray(frames)
    # FFmpeg may read a little beyond a picture in place, so the last one is copied.
    pictures = [VideoFrame.from_numpy_buffer(frame, format="rgb24") for frame in others]
    for index, picture in enumerate([*pictures, VideoFrame.from_ndarray(last, format="rgb24"), None]):
        if picture is not None:
            picture.pts = index
        for packet in encoder.encode(picture):
            yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _flatten(vectors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """All vectors in one array, and for each the frame that it belongs to."""
    frame = np.repeat(np.arange(len(vectors)), [len(each) for each in vectors])
    return frame, np.concatenate([np.empty(0, VECTOR), *vectors])


def _fill_blocks(
    frame: np.ndarray, vector: np.ndarray, values: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """An image [F, H, W, C] with each block filled by the value of its vector, zero elsewhere."""
    count, height, width = shape
    whole = 2 * CELL
    rows, columns = -(-height // whole) * 2, -(-width // whole) * 2  # the codec codes whole blocks of 16x16
    cells = np.zeros((count, rows, columns, values.shape[1]), values.dtype)
    row = (vector["dst_y"] - vector["h"] // 2) // CELL
    column = (vector["dst_x"] - vector["w"] // 2) // CELL
    for down in range(2):
        for right in range(2):
            covers = (vector["h"] > down * CELL) & (vector["w"] > right * CELL)
            cells[frame[covers], row[covers] + down, column[covers] + right] = values[covers]
    return cells.repeat(CELL, axis=1).repeat(CELL, axis=2)[:, :height, :width]
