"""Written files can be played and read back, and no partial files are left."""

import errno
import os
import resource
import signal
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from vcjax.errors import BadInput
from vcjax.video import Clip
from vcjax.video import write as module
from vcjax.video.read import probe, read
from vcjax.video.write import grid, read_comment

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 0, 0), (255, 255, 255), (128, 64, 200)]
FORMS = [".mp4", ".gif", ".webp"]
ERROR = {".mp4": 5, ".gif": 0, ".webp": 2}  # of 255: YUV of 8 bits and limited range; a palette; lossy WebP


def colourful(height: int = 48, width: int = 64, fps: float = 4.0) -> Clip:
    frames = np.zeros((len(COLOURS), height, width, 3), np.uint8)
    frames[:] = np.array(COLOURS)[:, None, None]
    return Clip(frames, fps)


def noise(count: int = 8) -> Clip:
    return Clip(np.random.default_rng(0).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8), 4.0)


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize("fps", [0.5, 4.0, 15.0, 23.976, 30.0, 50.0])
def test_frames_colours_and_rate_are_preserved(tmp_path: Path, suffix: str, fps: float) -> None:
    path = tmp_path / f"out{suffix}"
    colourful(fps=fps).save(path)
    clip = read(path)
    assert clip.frames.shape == colourful().frames.shape
    assert np.abs(clip.frames.astype(int) - colourful().frames).max() <= ERROR[suffix]
    assert clip.seconds == pytest.approx(
        len(COLOURS) / fps, abs=0.011
    )  # gif durations are in hundredths of a second


def test_a_gif_faster_than_browsers_play_is_slowed_to_their_limit(tmp_path: Path) -> None:
    colourful(fps=100.0).save(tmp_path / "out.gif")
    assert probe(tmp_path / "out.gif").fps == pytest.approx(50)


@pytest.mark.parametrize("suffix", FORMS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (35, 51), (64, 33)])
def test_odd_sizes_and_one_frame(tmp_path: Path, suffix: str, height: int, width: int) -> None:
    clip = Clip(colourful(height, width).frames[:1], 4.0)
    clip.save(tmp_path / f"out{suffix}")
    back = read(tmp_path / f"out{suffix}", fps=4)
    even = (height + height % 2, width + width % 2) if suffix == ".mp4" else (height, width)
    assert back.frames.shape == (1, *even, 3)
    assert np.abs(back.frames.astype(int) - [255, 0, 0]).max() <= ERROR[suffix]  # including the padding


def test_an_mp4_plays_in_a_browser(tmp_path: Path) -> None:
    noise().save(tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.codec_context.colorspace == 1  # BT.709, declared so that players need not guess
    data = (tmp_path / "out.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # can be played while it loads


def test_an_mp4_preserves_smooth_images(tmp_path: Path) -> None:
    y, x = np.mgrid[:128, :128] / 128
    picture = np.stack([np.sin(9 * x * y), np.cos(7 * x), np.sin(5 * y + x)], axis=-1)
    frames = (127.5 + 127.5 * picture).astype(np.uint8)[None].repeat(4, axis=0)
    Clip(frames, 4.0).save(tmp_path / "out.mp4")
    error = read(tmp_path / "out.mp4").frames.astype(float) - frames
    assert 10 * np.log10(255**2 / (error**2).mean()) > 38  # dB; 38 and more is considered visually lossless


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores can be chosen on Linux only")
@pytest.mark.parametrize("suffix", [*FORMS, ".png"])
def test_the_same_frames_give_the_same_bytes_on_any_number_of_cores(tmp_path: Path, suffix: str) -> None:
    cores = os.sched_getaffinity(0)
    noise().save(tmp_path / f"many{suffix}")
    try:
        os.sched_setaffinity(0, {min(cores)})
        noise().save(tmp_path / f"one{suffix}")
    finally:
        os.sched_setaffinity(0, cores)
    assert (tmp_path / f"many{suffix}").read_bytes() == (tmp_path / f"one{suffix}").read_bytes()


@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webp", ".png"])
@pytest.mark.parametrize("comment", ["short", "\u00e4\u2603 " * 20, "x" * 100_000])
def test_a_comment_is_stored_and_changes_no_pixel(tmp_path: Path, suffix: str, comment: str) -> None:
    clip, path, plain = noise(3), tmp_path / f"with{suffix}", tmp_path / f"without{suffix}"
    clip.save(path, comment)
    clip.save(plain)
    assert read_comment(path) == comment
    assert read_comment(plain) == ""
    np.testing.assert_array_equal(read(path).frames, read(plain).frames)
    before = path.read_bytes()
    clip.save(path, comment)
    assert path.read_bytes() == before


def test_a_comment_of_a_file_that_is_no_video_is_an_error(tmp_path: Path) -> None:
    for name in ("text.mp4", "text.gif", "missing.png", "missing.mp4"):
        if name.startswith("text"):
            (tmp_path / name).write_text("not a video")
        with pytest.raises(BadInput, match=name):
            read_comment(tmp_path / name)


def test_a_grid_lays_frames_out_row_by_row(tmp_path: Path) -> None:
    frames = noise(7).frames
    image = grid(frames, columns=3)
    assert image.shape == (3 * 64, 3 * 64, 3)
    for index, frame in enumerate(frames):
        row, column = divmod(index, 3)
        np.testing.assert_array_equal(image[64 * row : 64 * row + 64, 64 * column : 64 * column + 64], frame)
    assert not image[128:, 64:].any()
    assert grid(noise(16).frames).shape == (4 * 64, 4 * 64, 3)
    noise(16).save(tmp_path / "out.png")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out.png")), grid(noise(16).frames))
    with pytest.raises(BadInput, match="at least one frame and one column, not 7 and 0"):
        grid(frames, columns=0)


def test_an_existing_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    for suffix in (*FORMS, ".png", ".PNG"):
        path = tmp_path / f"out{suffix}"
        path.write_bytes(b"old")
        noise(2).save(path)
        assert len(read(path).frames)
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "out.PNG",
        "out.gif",
        "out.mp4",
        "out.png",
        "out.webp",
    ]


def refused(path: Path, clip: Clip | None = None) -> str:
    with pytest.raises(BadInput) as caught:
        (clip or noise()).save(path)
    assert str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("name", ["out.avi", "out", "out.mp4.part"])
def test_the_error_for_an_unknown_suffix_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    assert "give one of .mp4, .mov, .webm, .gif, .webp, .png" in refused(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_created(tmp_path: Path) -> None:
    noise().save(tmp_path / "new" / "folder" / "out.png")
    assert [p.name for p in (tmp_path / "new" / "folder").iterdir()] == ["out.png"]


def test_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "is not a directory" in refused(tmp_path / "file" / "out.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert "is a directory" in refused(tmp_path / "folder.mp4")


@pytest.mark.parametrize("suffix", [*FORMS, ".png"])
def test_a_folder_without_write_permission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    tmp_path.chmod(0o755)
    folder.chmod(0o555)
    monkeypatch.chdir(tmp_path)
    if os.getuid() == 0:  # root can write everywhere
        os.seteuid(65_534)  # nobody
    try:
        assert "cannot be written (Permission denied)" in refused(Path("closed") / f"out{suffix}")
    finally:
        os.seteuid(os.getuid())
        folder.chmod(0o755)


@pytest.mark.parametrize("suffix", [*FORMS, ".png"])
def test_a_full_disk_leaves_the_old_file(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(
            resource.RLIMIT_FSIZE, (2000, limits[1])
        )  # writes beyond the limit fail, as on a full disk
        sentence = refused(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert os.strerror(errno.EFBIG) in sentence
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        av.FFmpegError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    ],
)
def test_no_space_left_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def full(_frames: np.ndarray, _fps: float, path: Path, _comment: str) -> None:
        path.write_bytes(b"partial")
        raise error

    monkeypatch.setitem(module._ENCODERS, ".mp4", full)
    assert "cannot be written (No space left on device); give a writable folder" in refused(
        tmp_path / "out.mp4"
    )
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(_frames: np.ndarray, _fps: float, path: Path, _comment: str) -> None:
        path.write_bytes(b"partial")
        raise KeyboardInterrupt

    monkeypatch.setitem(module._ENCODERS, ".mp4", interrupted)
    with pytest.raises(KeyboardInterrupt):
        noise().save(tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_a_rate_above_the_time_base_of_codecs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="above 0 and at most 65535, not"):
        Clip(noise().frames, 1e6).save(tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())
