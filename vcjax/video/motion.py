"""Extraction of codec motion vectors, the displacements of pixel blocks between frames.

The clip is encoded as MPEG-4 Part 2 and decoded again in memory; the decoder exports the vectors that the
encoder chose. They are VideoComposer's motion condition (arXiv 2306.02018, section 3.2).
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
from vcjax.video.timing import frame_period

BIT_RATE = 200_000  # bits per second: FFmpeg's default, used to train the released model
GOP = 12  # group of pictures: distance between intra frames; FFmpeg's default too
CELL = 8  # pixels: vectors belong to 16x16 macroblocks or, if these are split in four, to 8x8 blocks
MAX_SIZE = 8191  # pixels: largest height and width in MPEG-4 Part 2 (13 bits)

# FFmpeg's AVMotionVector (libavutil/motion_vector.h), as exported by PyAV
VECTOR = np.dtype(
    [
        ("source", np.int32),  # -1: predicted from a past frame, +1: from a future frame
        ("w", np.uint8),
        ("h", np.uint8),
        ("src_x", np.int16),
        ("src_y", np.int16),
        ("dst_x", np.int16),  # centre of the block in the current frame
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
    """A re-encoded clip with its motion vectors.

    Attributes:
        pictures: re-encoded frames as returned by the decoder.
        vectors: motion vectors of each frame, structured arrays of type `VECTOR`; empty for intra frames.
    """

    pictures: list[VideoFrame]
    vectors: list[np.ndarray]

    @cached_property
    def frames(self) -> UInt8[np.ndarray, "F H W 3"]:
        """Re-encoded frames as RGB, converted on first access."""
        return np.stack([picture.to_ndarray(format="rgb24") for picture in self.pictures])


def codec_motion(
    frames: UInt8[np.ndarray, "F H W 3"],
    *,
    fps: float | int,
    bit_rate: int = BIT_RATE,
    gop: int = GOP,
    four_vectors: bool = False,
) -> CodecMotion:
    """Re-encode frames in memory as MPEG-4 Part 2 and return them with their motion vectors.

    ```python
    coded = codec_motion(clip.frames, fps=clip.fps)
    motion = rasterise(coded.vectors, clip.height, clip.width, form="centre")    # [F, H, W, 2]
    ```

    Args:
        frames: frames of any size from 1x1.
        fps: frame rate in frames per second; with `bit_rate` it determines the number of bits per frame.
        bit_rate: bits per second. With more bits the vectors are more accurate.
        gop: distance between intra frames in frames; intra frames have no vectors.
        four_vectors: allow the encoder to split a 16x16 macroblock into four 8x8 blocks with a vector each.

    Raises:
        BadInput: no frames, frames too large for the codec, or a frame rate, bit rate or GOP out of range.
    """
    _check(frames, bit_rate, gop)
    encoder = _encoder(frames, fps, bit_rate, gop, four_vectors)
    decoder = cast(VideoCodecContext, VideoCodecContext.create("mpeg4", "r"))
    decoder.thread_count = 1
    decoder.flags2 |= Flags2.export_mvs
    pictures, vectors = [], []
    for picture in _transcode(frames, encoder, decoder):
        pictures.append(picture)
        side_data = picture.side_data.get("MOTION_VECTORS")
        vectors.append(np.empty(0, VECTOR) if side_data is None else np.frombuffer(bytes(side_data), VECTOR))
    return CodecMotion(pictures, vectors)


def rasterise(
    vectors: Sequence[np.ndarray], height: int, width: int, *, form: Literal["centre", "blocks"]
) -> Float32[np.ndarray, "F {height} {width} 2"]:
    """Rasterise motion vectors to a field (x, y) in pixels per frame.

    Content that moves right and up gives (+, -).

    Args:
        vectors: motion vectors of each frame, arrays of type `VECTOR`.
        height: frame height in pixels.
        width: frame width in pixels.
        form: "centre" writes each vector to the centre pixel of its block, clipped to the frame, where later
            vectors overwrite earlier ones (the format that the released weights were trained with); "blocks"
            fills the block.

    Returns:
        The motion field; zero in intra blocks and, with "centre", at all pixels except the centres.
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
    """Return the mask of pixels in inter-coded blocks, that is, where motion is known.

    Args:
        vectors: motion vectors of each frame, arrays of type `VECTOR`.
        height: frame height in pixels.
        width: frame width in pixels.
    """
    frame, vector = _flatten(vectors)
    return _fill_blocks(frame, vector, np.ones((len(vector), 1), bool), (len(vectors), height, width))[..., 0]


def _check(frames: np.ndarray, bit_rate: int, gop: int) -> None:
    if 0 in frames.shape or max(frames.shape[1:3]) > MAX_SIZE:
        raise BadInput(
            f"motion extraction needs at least one frame of 1x1 to {MAX_SIZE}x{MAX_SIZE} pixels, not {list(frames.shape)}"
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
    # With more threads frames are encoded in slices, and the vectors would depend on the number of cores.
    encoder.thread_count = 1
    if four_vectors:
        encoder.flags |= Flags.four_mv
    return encoder


def _transcode(
    frames: np.ndarray, encoder: VideoCodecContext, decoder: VideoCodecContext
) -> Iterator[VideoFrame]:
    """Encode and decode frames; the final None flushes encoder and decoder."""
    *others, last = np.ascontiguousarray(frames)
    # FFmpeg may read past the end of a buffer that is passed without copying, so the last frame is copied.
    pictures = [VideoFrame.from_numpy_buffer(frame, format="rgb24") for frame in others]
    for index, picture in enumerate([*pictures, VideoFrame.from_ndarray(last, format="rgb24"), None]):
        if picture is not None:
            picture.pts = index
        for packet in encoder.encode(picture):
            yield from decoder.decode(packet)
    yield from decoder.decode(None)


def _flatten(vectors: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Concatenate the vectors of all frames, and return the frame index of each vector and the vectors."""
    frame = np.repeat(np.arange(len(vectors)), [len(each) for each in vectors])
    return frame, np.concatenate([np.empty(0, VECTOR), *vectors])


def fill_cells(
    frame: np.ndarray, vector: np.ndarray, values: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Return cells [F, rows, columns, C] filled with the values of their blocks' vectors, else zero.

    Args:
        frame: frame index of each vector.
        vector: motion vectors of type `VECTOR`.
        values: values of each vector, [N, C].
        shape: number, height and width of frames; the cells cover complete macroblocks.
    """
    count, height, width = shape
    macroblock = 2 * CELL  # frames are coded as complete macroblocks
    rows, columns = -(-height // macroblock) * 2, -(-width // macroblock) * 2
    cells = np.zeros((count, rows, columns, values.shape[1]), values.dtype)
    row = (vector["dst_y"] - vector["h"] // 2) // CELL
    column = (vector["dst_x"] - vector["w"] // 2) // CELL
    for down in range(2):
        for right in range(2):
            covers = (vector["h"] > down * CELL) & (vector["w"] > right * CELL)
            cells[frame[covers], row[covers] + down, column[covers] + right] = values[covers]
    return cells


def expand_cells(cells: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return the pixels [F, height, width, C] of cells [F, rows, columns, C]."""
    return cells.repeat(CELL, axis=1).repeat(CELL, axis=2)[:, :height, :width]


def _fill_blocks(
    frame: np.ndarray, vector: np.ndarray, values: np.ndarray, shape: tuple[int, int, int]
) -> np.ndarray:
    """Return an array [F, H, W, C] with blocks filled with the values of their vectors, else zero."""
    return expand_cells(fill_cells(frame, vector, values, shape), *shape[1:])
