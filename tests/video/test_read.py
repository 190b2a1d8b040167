"""Reading returns the frames displayed at the sampling times, from every format that FFmpeg decodes."""

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest

from tests.video.source_videos import encode, levels, numbered, shared_media
from vcjax.video.read import probe, read

CONTAINERS = [
    ("a.mp4", "libx264"),
    ("a.mkv", "libx264"),
    ("a.mov", "mpeg4"),
    ("a.avi", "mpeg4"),
    ("a.ts", "libx264"),
    ("a.flv", "libx264"),
    ("a.webm", "libvpx-vp9"),
    ("a.h264", "libx264"),
]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_every_container_returns_each_frame_once_at_its_own_rate(
    tmp_path: Path, name: str, codec: str
) -> None:
    clip = read(encode(tmp_path / name, numbered(20), codec=codec))
    assert levels(clip.frames) == list(range(20))
    assert clip.fps == 10


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_a_late_start_returns_the_same_frames_as_reading_from_the_beginning(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = encode(tmp_path / name, numbered(25), codec=codec, options={"g": "6"})
    full = read(path)
    late = read(path, start=1.7)
    np.testing.assert_array_equal(late.frames, full.frames[17:])


def test_a_late_start_does_not_decode_earlier_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = numbered(25).repeat(20, axis=0)  # 50 seconds
    path = encode(tmp_path / "long.mp4", frames, options={"g": "10"})
    assert _decoded(monkeypatch, path, start=48.0, count=2) < 60  # margin, GOP and threads; 480 lie before


def test_decoding_stops_when_the_clip_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "long.mp4", numbered(25).repeat(20, axis=0))
    assert _decoded(monkeypatch, path, count=3) < 60  # of 500; encoder delay and threads run ahead


def _decoded(monkeypatch: pytest.MonkeyPatch, path: Path, **request) -> int:
    """Return the number of frames that a call of `read` decodes."""
    from vcjax.video import sources as module

    seen = []
    frames = module.VideoSource._frames

    def counting(self):
        for frame in frames(self):
            seen.append(frame.pts)
            yield frame

    monkeypatch.setattr(module.VideoSource, "_frames", counting)
    read(path, **request)
    assert seen
    return len(seen)


def test_skipped_frames_are_not_held_in_memory(tmp_path: Path) -> None:
    path = encode(tmp_path / "long.mp4", np.zeros((200, 128, 128, 3), np.uint8))
    tracemalloc.start()  # includes NumPy arrays
    clip = read(path, fps=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(clip) == 20
    assert peak < 3 * clip.frames.nbytes  # all 200 would be 10 times


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (10.0, list(range(16))),
        (4.0, [0, 2, 5, 7, 10, 12, 15]),
        (20.0, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14, 15, 15]),
        (3.0, [0, 3, 6, 10, 13]),
    ],
)  # fmt: skip
def test_sampling_takes_the_frame_displayed_at_each_time(
    tmp_path: Path, fps: float, expected: list[int]
) -> None:
    path = encode(tmp_path / "a.mp4", numbered(16))
    clip = read(path, fps=fps)
    assert levels(clip.frames) == expected
    assert clip.fps == fps


def test_start_and_count_select_a_section(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(16))
    assert levels(read(path, start=0.35, count=4, fps=5).frames) == [3, 5, 7, 9]
    assert levels(read(path, start=1.2, count=100).frames) == [12, 13, 14, 15]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rate_is_read_by_time(tmp_path: Path, name: str) -> None:
    ticks = [0, 100, 200, 900, 950, 1000, 1500]
    path = encode(tmp_path / name, numbered(7), ticks=ticks, options={"bf": "0"})
    clip = read(path, fps=10, count=16)
    displayed = [max(i for i, tick in enumerate(ticks) if tick <= 100 * k) for k in range(16)]
    assert levels(clip.frames) == displayed


@pytest.mark.parametrize(("rotation", "turns"), [(90, 1), (180, 2), (270, 3), (-90, 3)])
def test_rotation_metadata_is_applied(tmp_path: Path, rotation: int, turns: int) -> None:
    frames = numbered(3) + np.uint8(50)
    frames[:, :16, :16] = [250, 0, 0]
    path = encode(tmp_path / "turned.mp4", frames, rotation=rotation)
    expected = np.rot90(frames, turns, axes=(1, 2))
    clip = read(path)
    assert clip.frames.shape == expected.shape
    assert np.abs(clip.frames.astype(int) - expected).mean() < 5  # chroma blur at the edge of the red patch
    assert (probe(path).height, probe(path).width) == expected.shape[1:3]


def test_the_rotation_matrix_of_an_upright_phone_rotates_clockwise(tmp_path: Path) -> None:
    frames = numbered(2)
    frames[:, :16, :16] = [250, 0, 0]
    path = encode(tmp_path / "phone.mp4", frames)
    one, identity = 0x0001_0000, [0x0001_0000, 0, 0, 0, 0x0001_0000]  # tkhd's matrix a b u c d, 16.16
    upright = [0, one, 0, 0xFFFF_0000, 0]
    data = path.read_bytes()
    offset = data.index(np.array(identity, ">u4").tobytes(), data.index(b"tkhd"))
    rotated = np.array(upright, ">u4").tobytes()
    path.write_bytes(data[:offset] + rotated + data[offset + len(rotated) :])
    clip = read(path)
    assert clip.frames.shape[1:3] == (64, 48)
    red = clip.frames[0, :12, -12:].reshape(-1, 3).mean(axis=0)  # top left was rotated to top right
    assert red[0] > 200
    assert red[1] < 50


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"),
    [
        ("libx265", "yuv420p10le", "ten.mp4"),
        ("ffv1", "yuv444p10le", "ten.mkv"),
        ("ffv1", "gray", "grey.mkv"),
        ("ffv1", "gray16le", "grey16.mkv"),
        ("libx264", "yuvj420p", "full.mp4"),
    ],
)
def test_ten_bits_and_grey_and_full_range_keep_their_levels(
    tmp_path: Path, codec: str, pix_fmt: str, name: str
) -> None:
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    path = encode(tmp_path / name, numbered(12), codec=codec, pix_fmt=pix_fmt, options=options)
    assert av.open(str(path)).streams.video[0].codec_context.pix_fmt == pix_fmt
    assert levels(read(path).frames) == list(range(12))


@pytest.mark.parametrize(("height", "width"), [(35, 51), (1, 1), (2, 7)])
def test_odd_sizes_keep_every_pixel(tmp_path: Path, height: int, width: int) -> None:
    path = encode(tmp_path / "odd.mkv", numbered(5, height, width), codec="ffv1", pix_fmt="bgr0")
    np.testing.assert_array_equal(read(path).frames, numbered(5, height, width))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt", "error"),
    [
        ("a.mov", "qtrle", "argb", 1),
        ("a.mkv", "ffv1", "yuva444p", 3),
        ("a.webm", "libvpx-vp9", "yuva420p", 8),
    ],
)
def test_transparent_pixels_show_the_background(
    tmp_path: Path, name: str, codec: str, pix_fmt: str, error: int
) -> None:
    frames = np.zeros((4, 32, 48, 4), np.uint8)
    frames[..., :16, :] = [200, 40, 40, 255]
    frames[..., 16:32, :] = [200, 40, 40, 0]
    frames[..., 32:, :] = [200, 40, 40, 128]
    path = encode(tmp_path / name, frames, codec=codec, pix_fmt=pix_fmt)
    clip = read(path, background=(10, 240, 90))
    for column, colour in ((8, (200, 40, 40)), (24, (10, 240, 90)), (40, (105, 140, 65))):
        assert np.abs(clip.frames[:, 16, column].astype(int) - colour).max() <= error, column


def test_one_frame_is_a_clip(tmp_path: Path) -> None:
    path = encode(tmp_path / "one.mp4", numbered(3)[2:])
    for fps in (None, 1, 4, 30):
        clip = read(path, fps=fps, count=1)
        assert levels(clip.frames) == [2]


def test_a_file_without_timestamps_or_length_is_read_at_its_rate(tmp_path: Path) -> None:
    path = encode(tmp_path / "raw.h264", numbered(20))
    info = probe(path)
    assert info.seconds is None
    assert info.frames is None
    assert levels(read(path, fps=5, start=1.1).frames) == [11, 13, 15, 17, 19]


def test_a_live_stream_without_length_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "live.mkv", numbered(20), container_options={"live": "1"})
    assert levels(read(path, fps=5).frames) == list(range(0, 20, 2))


def test_metadata_in_another_encoding_are_ignored(tmp_path: Path) -> None:
    path = encode(tmp_path / "title.mp4", numbered(3), title="TITLE-HERE")
    data = path.read_bytes()
    assert b"TITLE-HERE" in data
    path.write_bytes(data.replace(b"TITLE-HERE", "タイトル".encode("shift_jis") + b"\xff\xfe"))
    assert levels(read(path).frames) == [0, 1, 2]


def test_a_name_with_a_colon_and_percent_is_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "plain.mp4", numbered(3)).rename(tmp_path / "at 10:30 %03d.mp4")
    assert levels(read(path).frames) == [0, 1, 2]


def test_colours_follow_the_matrix_declared_in_the_file(tmp_path: Path) -> None:
    colour = np.array([30, 200, 90], np.uint8)
    frame = av.VideoFrame.from_ndarray(np.broadcast_to(colour, (32, 32, 3)).copy(), format="rgb24")
    path = tmp_path / "hd.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"crf": "5"})
        stream.height, stream.width, stream.pix_fmt, stream.colorspace = 32, 32, "yuv420p", 1
        container.mux(stream.encode(frame.reformat(format="yuv420p", dst_colorspace="ITU709")))
        container.mux(stream.encode(None))
    assert (
        np.abs(read(path).frames.astype(int) - colour).max() <= 4
    )  # interpreted as BT.601 the error would be 20


@pytest.mark.parametrize(("size", "shape"), [(32, (32, 32)), ((20, 70), (20, 70)), ((90, 30), (90, 30))])
def test_size_covers_and_crops_the_centre(tmp_path: Path, size, shape: tuple[int, int]) -> None:
    frames = numbered(2, 48, 64)
    frames[:, 20:28, 28:36] = 255  # the centre must stay in the centre
    clip = read(encode(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0"), size=size)
    assert clip.frames.shape[1:3] == shape
    assert clip.frames[0, shape[0] // 2, shape[1] // 2].min() > 200


def test_probe_agrees_with_read(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(20), rotation=90)
    info, clip = probe(path), read(path)
    assert (info.height, info.width, info.fps, info.frames) == (clip.height, clip.width, clip.fps, len(clip))
    assert info.seconds == pytest.approx(clip.seconds)


@pytest.mark.parametrize("path", shared_media() or [None], ids=lambda path: getattr(path, "name", "none"))
def test_real_files_are_read(path: Path | None) -> None:
    if path is None:
        pytest.skip("no folder shared/media beside the checkout")
    info = probe(path)
    clip = read(path, fps=4, count=16, size=64)
    assert clip.frames.shape[1:] == (64, 64, 3)
    assert clip.frames.std() > 5  # not a blank image
    if info.seconds is None:
        assert len(clip) == 1
    else:
        assert abs(len(clip) - min(16, info.seconds * 4)) <= 1
        assert info.frames == len(read(path, size=16))
