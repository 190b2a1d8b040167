"""Motion vectors give the displacement of content: x first, right and down positive, zero where unknown."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.codec.context import Flags2
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vcjax.errors import BadInput
from vcjax.video.motion import VECTOR, codec_motion, inter_coded, rasterise
from vcjax.video.timing import sampling_rate

COUNT, HEIGHT, WIDTH = 8, 144, 176
SHIFTS = [(4, -6), (-4, 6), (8, 0), (-8, 0), (0, 8), (0, -8), (1, 1), (-7, -3), (8, 8), (-8, 8), (0, 0)]
BORDER = 16  # pixels: content that enters at the border is in no previous frame


def shifted(dx: int, dy: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return frames of a texture that moves by (dx, dy) pixels per frame, right and down positive."""
    margin = 8 * COUNT
    texture = textured(height + 2 * margin, width + 2 * margin)
    return np.stack(
        [
            texture[margin - dy * i : margin - dy * i + height, margin - dx * i : margin - dx * i + width]
            for i in range(COUNT)
        ]
    )


def textured(height: int, width: int) -> np.ndarray:
    """Return a texture with equally strong detail at 2 to 16 pixels.

    FFmpeg's motion search descends gradients, which finer noise lacks.
    """
    rng = np.random.default_rng(0)
    total = np.zeros((height, width, 3))
    for grain in (16, 8, 4, 2):
        noise = rng.integers(0, 256, (height // grain + 2, width // grain + 2, 3), dtype=np.uint8)
        total += np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))
    contrast = 50  # grey levels of standard deviation, as in a photograph
    return ((total - total.mean()) / total.std() * contrast + 128).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("four_vectors", [False, True])
@pytest.mark.parametrize(("dx", "dy"), SHIFTS)
def test_a_shift_of_the_full_frame_is_found(dx: int, dy: int, four_vectors: bool) -> None:
    coded = codec_motion(shifted(dx, dy), fps=4, bit_rate=4_000_000, four_vectors=four_vectors)
    motion = rasterise(coded.vectors, HEIGHT, WIDTH, form="blocks")
    known = inter_coded(coded.vectors, HEIGHT, WIDTH)
    inside = np.zeros_like(known)
    inside[:, BORDER:-BORDER, BORDER:-BORDER] = True
    assert known[1:][inside[1:]].mean() > 0.8  # most blocks are inter-coded
    error = np.linalg.norm(motion[known & inside] - [dx, dy], axis=-1)
    assert error.mean() < 0.5  # the bound in the project's plan


@pytest.mark.parametrize("form", ["centre", "blocks"])
def test_intra_frames_and_blocks_have_no_motion(form) -> None:
    coded = codec_motion(shifted(4, -6), fps=4, gop=3)
    assert [len(each) == 0 for each in coded.vectors] == [i % 3 == 0 for i in range(COUNT)]
    motion = rasterise(coded.vectors, HEIGHT, WIDTH, form=form)
    known = inter_coded(coded.vectors, HEIGHT, WIDTH)
    assert not known[::3].any()
    assert known[1].any()
    assert not motion[~known].any()


def test_the_default_intra_frames_are_those_of_the_released_model() -> None:
    frames = np.concatenate([shifted(4, -6), shifted(4, -6)])
    coded = codec_motion(frames, fps=4)
    assert [i for i, each in enumerate(coded.vectors) if len(each) == 0] == [0, 12]


def test_re_encoding_is_more_accurate_with_more_bits() -> None:
    frames = shifted(8, 8)[..., :1].repeat(3, axis=-1)  # grey, since chroma is subsampled at any bit rate
    frames = np.concatenate([frames, frames[::-1], frames])  # the rate control needs some frames to adapt
    poor, good = (
        np.abs(codec_motion(frames, fps=30, bit_rate=rate).frames.astype(int) - frames).mean()
        for rate in (10_000, 4_000_000)
    )
    assert good < 4 < poor < 20  # grey levels; the standard deviation of the frames is 50


def vectors_from_file(
    path: Path, frames: np.ndarray, bit_rate: int, gop: int, flags: str
) -> list[list[tuple]]:
    """Return FFmpeg's motion vectors by way of a file on disk and a loop over single vectors."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(4), options={"flags": flags} if flags else {})
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], "yuv420p"
        stream.bit_rate, stream.gop_size = bit_rate, gop
        stream.codec_context.thread_count = 1
        for pixels in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        container.streams.video[0].codec_context.flags2 |= Flags2.export_mvs
        return [
            [tuple(getattr(v, name) for name in VECTOR.names or () if name != "flags") for v in side]
            for frame in container.decode(video=0)
            for side in [frame.side_data.get("MOTION_VECTORS") or []]
        ]


@pytest.mark.parametrize(("bit_rate", "gop", "four_vectors"), [(200_000, 12, False), (4_000_000, 5, True)])
@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_the_side_data_equals_that_of_ffmpeg(
    tmp_path: Path, suffix: str, bit_rate: int, gop: int, four_vectors: bool
) -> None:
    frames = shifted(3, -5)
    frames[4:, 40:90, 50:120] = frames[
        :4, :50, :70
    ]  # different content in the middle, so that vectors differ
    expected = vectors_from_file(
        tmp_path / f"a{suffix}", frames, bit_rate, gop, "+mv4" if four_vectors else ""
    )
    coded = codec_motion(frames, fps=4, bit_rate=bit_rate, gop=gop, four_vectors=four_vectors)
    names = [name for name in VECTOR.names or () if name != "flags"]
    assert [[tuple(vector) for vector in each[names].tolist()] for each in coded.vectors] == expected
    sizes = {vector[1] for each in expected for vector in each}
    assert sizes == ({8, 16} if four_vectors else {16})


def vector(
    x: int, y: int, motion: tuple[int, int], *, size: int = 16, scale: int = 2, source: int = -1
) -> tuple:
    return (source, size, size, 0, 0, x, y, 0, *motion, scale)


def test_centre_writes_at_the_clipped_centre_and_the_last_one_wins() -> None:
    vectors = [
        np.empty(0, VECTOR),
        np.array([vector(8, 8, (-8, 12)), vector(8, 8, (6, 2)), vector(24, 24, (-2, 0), source=1)], VECTOR),
    ]
    motion = rasterise(vectors, 20, 18, form="centre")
    expected = np.zeros((2, 20, 18, 2))
    expected[1, 8, 8] = [-3, -1]  # source -1 times (6, 2) / 2
    expected[1, 19, 17] = [-1, 0]
    np.testing.assert_array_equal(motion, expected)


def test_blocks_fill_their_pixels_up_to_the_border() -> None:
    vectors = [np.array([vector(8, 8, (-8, 12)), vector(20, 4, (4, 0), size=8)], VECTOR)]
    motion = rasterise(vectors, 13, 26, form="blocks")
    expected = np.zeros((1, 13, 26, 2))
    expected[0, :16, :16] = [4, -6]
    expected[0, :8, 16:24] = [-2, 0]
    np.testing.assert_array_equal(motion, expected)
    known = inter_coded(vectors, 13, 26)
    np.testing.assert_array_equal(known, expected.any(axis=-1))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (35, 251)])
@pytest.mark.parametrize("form", ["centre", "blocks"])
def test_any_size_of_frame(height: int, width: int, form) -> None:
    coded = codec_motion(shifted(2, 2)[:, :height, :width].repeat(2, axis=2)[:, :, :width], fps=4)
    assert coded.frames.shape == (COUNT, height, width, 3)
    assert rasterise(coded.vectors, height, width, form=form).shape == (COUNT, height, width, 2)


def test_one_frame_has_no_motion() -> None:
    coded = codec_motion(shifted(4, 4)[:1], fps=4)
    assert not rasterise(coded.vectors, HEIGHT, WIDTH, form="blocks").any()


@pytest.mark.parametrize("fps", [0.001, 0.3, 1, 15.7023, 24_000 / 1001, 240.0, 60_000.0])
def test_any_rate(fps: float) -> None:
    assert len(codec_motion(shifted(4, 4)[:3], fps=fps).vectors) == 3


@pytest.mark.parametrize(
    "wrong", [{"fps": 0.0}, {"fps": float("inf")}, {"bit_rate": 0}, {"gop": 0}, {"gop": 2**40}]
)
def test_settings_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(BadInput, match="must be"):
        codec_motion(shifted(1, 1)[:2], **{"fps": 4, **wrong})


def test_frames_that_the_codec_cannot_hold_are_refused() -> None:
    for shape in [(0, 8, 8, 3), (1, 8, 8192, 3)]:
        with pytest.raises(BadInput, match="at least one frame of 1x1 to 8191x8191 pixels"):
            codec_motion(np.zeros(shape, np.uint8), fps=4)


def test_short_clips_are_sampled_faster() -> None:
    assert sampling_rate(10.0, count=16, fps=4) == 4
    assert sampling_rate(4.001, count=16, fps=4) == 4
    assert sampling_rate(4.0, count=16, fps=4) == 5  # exactly as long as needed: the released model's rule
    assert sampling_rate(2.9, count=16, fps=4) == 6
    with pytest.raises(BadInput, match="above 0 seconds, not 0"):
        sampling_rate(0.0, count=16, fps=4)


@given(st.floats(0.01, 100), st.integers(1, 64), st.floats(0.1, 60))
def test_sampling_gives_enough_frames(seconds: float, count: int, fps: float) -> None:
    rate = sampling_rate(seconds, count, fps)
    assert seconds * rate > count * (1 - 1e-12)
    assert rate >= fps * (1 - 1e-12)
