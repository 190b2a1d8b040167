"""The motion vectors that a video file already holds, as maps in pixels per frame, without re-encoding.

They are an alternative source of VideoComposer's motion condition, see `vcjax.video.motion`.

FFmpeg does not export which frame a vector refers to. Assumed is the nearest reference frame before
(vectors of the first list) or after (of the second list) that is decoded earlier. This is exact for MPEG-1,
MPEG-2 and MPEG-4 Part 2, and for H.264 with one reference frame in each direction. In H.264 with several, a
vector to a frame farther off gives a motion that is too large by the ratio of the distances. Measured on
two real clips (x264, P-frames): with 4 references motion is more than 1.7 times too large in 5% to 9% of
moving blocks, with one reference in 1%.

FFmpeg has further limits. Of H.264 blocks split below 8x8 it exports the first vector only. It does not
export which list an H.264 partition leaves unused: a zero vector beside a nonzero one is taken for that. Of
B-frames in MPEG-4 Part 2 and its relatives it exports none; these have the motion of the next other frame
here. The last frame of an MPEG-1, -2 or -4 file with B-frames has none either.
"""

import contextlib
import dataclasses
import itertools
import os
import warnings
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Float32

from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.motion import CELL, expand_cells, fill_cells
from vcjax.video.read import check_request, no_frame, sample_frames, warn_damaged
from vcjax.video.resize import cover_rounded, resize_crop_field
from vcjax.video.sources import TimedFrame
from vcjax.video.stream_vectors import (
    INSTEAD,
    CodedFrame,
    References,
    VectorSource,
    nearest_references,
    open_vectors,
)

MACROBLOCK = 2 * CELL


@dataclasses.dataclass(frozen=True, eq=False)
class StreamMotion:
    """Motion of a video file's own vectors.

    Attributes:
        motion: displacement of each pixel since the previous frame, in pixels: x to the right, y down; zero
            where it is not known, and in the first frame.
        known: where vectors give the motion: not in the first frame, nor in intra-coded blocks.
        fps: frame rate in frames per second.
    """

    motion: Float32[np.ndarray, "F H W 2"]
    known: Bool[np.ndarray, "F H W"]
    fps: float


def stream_motion(
    path: str | os.PathLike[str],
    *,
    fps: float | int | None = None,
    count: int | None = None,
    start: float | int = 0.0,
    size: int | tuple[int, int] | None = None,
) -> StreamMotion:
    """Return the motion vectors that a video file holds, at the frames that `vcjax.read` samples.

    ```python
    motion = vcjax.stream_motion("walk.mp4").motion    # [F, H, W, 2], every frame of the file
    sampling = {"fps": 4, "count": 16, "size": 256}
    clip, stream = vcjax.read("walk.mp4", **sampling), vcjax.stream_motion("walk.mp4", **sampling)
    ```

    A vector is divided by the distance of the frame that it refers to, so motion is taken as uniform in
    between; the two vectors of a bi-predicted block are averaged. FFmpeg does not export which frame a vector
    refers to, so the nearest possible one is assumed; the module docstring says where this is exact.

    Between sampled frames motion is the mean of the known vectors at a pixel, times the number of frames.

    Args:
        path: video file in H.264, MPEG-1, MPEG-2, MPEG-4 Part 2, or another of `COMPLETE` and `WITHOUT_B` in
            `vcjax.video.stream_vectors`.
        fps: sampling rate in frames per second; the frame rate of the file if None.
        count: maximum number of frames; all frames up to the end if None.
        start: start time in seconds.
        size: side of a square, or (height, width), to resize and crop to as `vcjax.read` does; vectors are
            scaled with the frames. The size of the frames, after rotation, if None.

    Returns:
        The motion, with at least one frame, and fewer than `count` if the video is too short.

    Raises:
        BadInput: the file cannot be read (see `vcjax.read`), is an image, or is in another codec; the frames
            are all intra-coded; its frames change size; or an argument is out of range.

    Warns:
        VcjaxWarning: the file is damaged or truncated; or it is interlaced, where vectors between fields are
            taken for vectors between frames.
    """
    check_request(path, fps, count, start, size)
    with contextlib.closing(open_vectors(path)) as source:
        rate = float(fps or source.rate)
        frames, sampled = _decode(source, rate, count, start)
        if not sampled:
            raise BadInput(no_frame(path, start, source.damage))
        warn_damaged(path, source.damage, len(sampled))
        partial_lists = source.codec == "h264"
    _check_frames(path, frames)
    cells = _sampled_cells(frames, sampled, partial_lists)
    if len(frames) > 1 and not any(len(frame.vectors) for frame in frames):
        raise BadInput(
            f"{path} holds no motion vectors where it is sampled, only intra-coded frames; {INSTEAD}"
        )
    height, width = frames[0].height, frames[0].width
    target = (size, size) if isinstance(size, int) else size
    maps = [_to_map(each, height, width, frames[0].quarter_turns, target) for each in cells]
    motion = np.stack([motion for motion, _ in maps])
    return StreamMotion(motion, np.stack([known for _, known in maps]), rate)


def block_centres(motion: Float32[np.ndarray, "F H W 2"]) -> Float32[np.ndarray, "F H W 2"]:
    """Keep the motion at the centres of 16x16 macroblocks and set the rest to zero.

    This is the sparse format of `vcjax.video.motion.rasterise` with `form="centre"` for macroblocks that are
    not split.
    """
    centres = np.zeros_like(motion)
    grid = np.s_[:, CELL::MACROBLOCK, CELL::MACROBLOCK]
    centres[grid] = motion[grid]
    return centres


def _decode(
    source: VectorSource, fps: float, count: int | None, start: float | int
) -> tuple[list[CodedFrame], list[int]]:
    """Return the frames up to the clip's last and the next possible reference, and the indices of the clip's.

    Args:
        source: the opened video.
        fps: sampling rate in frames per second.
        count: number of frames; None for all.
        start: start time in seconds.
    """
    frames: list[CodedFrame] = []

    def numbered() -> Iterator[TimedFrame]:
        for number, timed in enumerate(source.coded_frames(start)):
            frames.append(timed.frame)
            yield dataclasses.replace(timed, frame=number)

    decoded = numbered()
    sampled = [timed.frame for timed in sample_frames(decoded, fps, count, start, source.clock_error)]
    # References in the future are displayed up to the next frame that is not a B-frame.
    while sampled and all(frame.bidirectional for frame in frames[sampled[-1] :]):
        if next(decoded, None) is None:
            break
    return frames, sampled


def _check_frames(path: str | os.PathLike[str], frames: Sequence[CodedFrame]) -> None:
    if len({(frame.height, frame.width, frame.quarter_turns) for frame in frames}) > 1:
        raise BadInput(f"{path} changes its frame size, so its motion vectors make no clip; {INSTEAD}")
    if any(frame.interlaced for frame in frames):
        warnings.warn(
            f"{path} is interlaced: motion vectors between fields are taken for vectors between frames",
            VcjaxWarning,
            stacklevel=3,
        )


def _sampled_cells(
    frames: Sequence[CodedFrame], sampled: Sequence[int], partial_lists: bool
) -> Float32[np.ndarray, "F rows columns 3"]:
    """Return the displacement of each cell since the previous sampled frame, and 1 where it is known."""
    references = nearest_references(frames)
    cells = [np.zeros_like(_frame_cells(frames[0], 0, References(None, None), partial_lists))]
    for previous, current in itertools.pairwise(sampled):
        total = np.zeros_like(cells[0])
        for index in range(previous + 1, current + 1):
            holder = index if frames[index].exported else references[index].future
            if holder is not None:
                total += _frame_cells(frames[holder], holder, references[holder], partial_lists)
        known = total[..., 2:] > 0
        mean = np.divide(total[..., :2], total[..., 2:], out=np.zeros_like(total[..., :2]), where=known)
        if previous == current:  # a repeated frame does not move
            known = np.ones_like(known)
        cells.append(np.concatenate([mean * (current - previous), known], -1, dtype=np.float32))
    return np.stack(cells)


def _frame_cells(
    frame: CodedFrame, index: int, references: References, partial_lists: bool
) -> Float32[np.ndarray, "rows columns 3"]:
    """Return the motion (x, y) of each cell in pixels per frame, and 1 where it is known.

    Args:
        frame: frame with its vectors.
        index: its index in presentation order.
        references: the frames that the vectors refer to.
        partial_lists: whether partitions may leave one of two lists unused, with a zero vector.
    """
    lists = []
    for source, reference in ((-1, references.past), (1, references.future)):
        # Interlaced H.264 codes an even number of macroblock rows, even where the frame has one less.
        inside = frame.vectors["dst_y"] < -(-frame.height // MACROBLOCK) * MACROBLOCK
        vector = frame.vectors[(frame.vectors["source"] == source) & inside & (reference is not None)]
        distance = 1 if reference is None else abs(index - reference)
        motion = np.stack([vector["motion_x"], vector["motion_y"]], axis=-1) * source
        motion = motion / vector["motion_scale"][:, None] / distance
        split = np.minimum(vector["w"], vector["h"]) < MACROBLOCK
        values = np.column_stack([motion, np.ones(len(vector)), split]).astype(np.float32)
        frame_of_vector = np.zeros(len(vector), int)
        lists.append(fill_cells(frame_of_vector, vector, values, (1, frame.height, frame.width))[0])
    first, second = lists
    if partial_lists:
        both = (first[..., 3] > 0) & (second[..., 3] > 0)
        moves = [each[..., :2].any(-1) for each in lists]
        first[both & ~moves[0] & moves[1]] = 0
        second[both & moves[0] & ~moves[1]] = 0
    total = (first + second)[..., :3]
    return total / np.maximum(total[..., 2:], 1)


def _to_map(
    cells: Float32[np.ndarray, "rows columns 3"],
    height: int,
    width: int,
    quarter_turns: int,
    target: tuple[int, int] | None,
) -> tuple[Float32[np.ndarray, "H W 2"], Bool[np.ndarray, "H W"]]:
    """Return motion and mask of one frame, rotated as displayed, and resized and cropped to `target`."""
    field = expand_cells(cells[None], height, width)
    field = np.rot90(field, quarter_turns, axes=(1, 2))
    x, y, known = np.moveaxis(field, -1, 0)
    for _ in range(quarter_turns % 4):
        x, y = y, -x
    field = np.stack([x * known, y * known, known], -1)
    if target is not None and target != field.shape[1:3]:
        full_height, full_width = cover_rounded(field.shape[1], field.shape[2], *target)
        scale = np.array([full_width / field.shape[2], full_height / field.shape[1]], np.float32)
        field = resize_crop_field(field, *target, rule="latent")
        field[..., :2] *= scale
    weight = field[0, ..., 2:]
    known = weight >= 0.5
    motion = np.divide(field[0, ..., :2], weight, out=np.zeros_like(field[0, ..., :2]), where=known)
    return motion, known[..., 0]
