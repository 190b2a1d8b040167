"""Unreadable files are reported in one sentence; damaged files are read as far as possible, with a warning."""

import os
import warnings
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tests.video.source_videos import encode, levels, numbered
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.read import probe, read

FASTSTART = {"movflags": "+faststart"}


def textured(count: int) -> np.ndarray:
    """Return frames with noise, so that truncating a file in the middle truncates the video in the middle."""
    noise = np.random.default_rng(0).integers(0, 60, (count, 48, 64, 3), dtype=np.uint8)
    return numbered(count) // 2 + noise


def refused(path: Path) -> str:
    """Return the one-sentence error of `read` and `probe` for a file, without the file name that it starts with."""
    sentences = []
    for function in (read, probe):
        with pytest.raises(BadInput) as caught:
            function(path)
        sentences.append(str(caught.value))
    assert sentences[0] == sentences[1]
    assert sentences[0].startswith(str(path))
    assert "\n" not in sentences[0]
    return sentences[0].removeprefix(str(path))


def truncate(path: Path, fraction: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * fraction)])
    return path


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", FASTSTART),
        ("a.mkv", "mpeg4", {}),
        ("a.avi", "mpeg4", {}),
        ("a.webm", "libvpx-vp9", {}),
    ],
)
def test_a_truncated_clip_returns_the_decodable_frames(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    path = encode(
        tmp_path / name, textured(40), codec=codec, options={"g": "5", "b": "4M"}, container_options=options
    )
    full = read(path)
    truncate(path, 0.6)
    with pytest.warns(VcjaxWarning) as caught:
        clip = read(path)
    assert 10 < len(clip) < 35
    np.testing.assert_array_equal(clip.frames[:-1], full.frames[: len(clip) - 1])
    message = str(caught[0].message)
    assert message.startswith(str(path))
    assert f"{len(clip)} frames" in message


def test_the_intact_section_of_a_truncated_clip_gives_no_warning(tmp_path: Path) -> None:
    path = truncate(encode(tmp_path / "a.mp4", textured(40), container_options=FASTSTART), 0.8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(path, count=4)) == 4


def test_damaged_bytes_in_the_middle_are_skipped(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", textured(40), options={"g": "5"}, container_options=FASTSTART)
    with av.open(str(path)) as container:
        packets = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    offset, size = packets[20]
    data = bytearray(path.read_bytes())
    data[offset : offset + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.warns(VcjaxWarning, match="a.mp4 is damaged"):
        clip = read(path)
    assert len(clip) == 40  # by timestamps: the previous frame stays displayed


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    assert " is empty" in refused(tmp_path / "a.mp4")


def test_a_text_file_named_mp4(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("a red circle moves to the left\n" * 50)
    assert " is neither a video nor an image" in refused(tmp_path / "a.mp4")


@pytest.mark.parametrize("name", ["a.mp4", "a.mov"])
def test_an_mp4_without_its_index(tmp_path: Path, name: str) -> None:
    path = truncate(encode(tmp_path / name, textured(40)), 0.6)  # without faststart the index is at the end
    assert "without its index (moov)" in refused(path)


def test_a_directory_without_images(tmp_path: Path) -> None:
    assert " is a directory that contains no images (.png, " in refused(tmp_path)


def test_a_missing_file(tmp_path: Path) -> None:
    assert " cannot be read (No such file or directory)" in refused(tmp_path / "walk.mp4")


def test_a_pipe_is_refused_without_blocking(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert " is not a regular file" in refused(tmp_path / "pipe.mp4")


def test_a_file_without_read_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = encode(tmp_path / "secret.mp4", numbered(2))
    path.chmod(0)
    if os.geteuid() == 0:  # root can read everything
        tmp_path.chmod(0o755)
        monkeypatch.chdir(tmp_path)
        path = Path("secret.mp4")
        os.seteuid(65_534)  # nobody
    try:
        assert " cannot be read (Permission denied)" in refused(path)
    finally:
        if os.getuid() == 0:
            os.seteuid(0)


@pytest.mark.parametrize("name", ["a.m4a", "a.wav", "a.mka"])
def test_audio_only(tmp_path: Path, name: str) -> None:
    write_audio(tmp_path / name)
    assert " contains no video" in refused(tmp_path / name)


def test_album_art_is_not_a_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    write_audio(path, cover=True)
    with av.open(str(path)) as container:
        assert container.streams.video  # the cover is a video stream
    assert " contains no video" in refused(path)


def write_audio(path: Path, cover: bool = False) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le" if path.suffix == ".wav" else "aac", rate=16_000)
        if cover:
            picture = container.add_stream("mjpeg", rate=1)
            picture.height, picture.width, picture.pix_fmt = 48, 64, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
        layout = stream.codec_context.layout.name
        samples = np.zeros((stream.codec_context.layout.nb_channels, 4096), np.float32)
        if path.suffix == ".wav":
            samples = samples.T.reshape(1, -1).astype(np.int16)
        form = "s16" if path.suffix == ".wav" else "fltp"
        frame = av.AudioFrame.from_ndarray(samples, format=form, layout=layout)
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if cover:
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered(1)[0], format="rgb24")))
            container.mux(picture.encode(None))


def test_a_start_after_the_end(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mp4", numbered(20))
    with pytest.raises(BadInput, match=r"a\.mp4 ends before 2.5 seconds"):
        read(path, start=2.5)


@pytest.mark.parametrize(
    "request_",
    [
        {"fps": 0.0},
        {"fps": -4.0},
        {"fps": float("nan")},
        {"count": 0},
        {"start": -1.0},
        {"size": 0},
        {"size": (0, 4)},
    ],
)
def test_arguments_out_of_range_are_named(tmp_path: Path, request_: dict) -> None:
    path = encode(tmp_path / "a.mp4", numbered(3))
    assert levels(read(path).frames) == [0, 1, 2]
    with pytest.raises(BadInput, match=f"^{next(iter(request_))} for .*a.mp4 must be"):
        read(path, **request_)


def test_a_damaged_avif_is_a_sentence_or_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    Image.fromarray(np.full((16, 16, 3), 120, np.uint8)).save(path)
    data = path.read_bytes()
    messages = []
    for position in range(0, min(len(data), 320), 2):
        damaged = bytearray(data)
        damaged[position] ^= 0x21
        path.write_bytes(damaged)
        try:
            read(path)
        except BadInput as error:
            messages.append(str(error))
    assert any("Failed to decode" in message for message in messages)  # what Pillow raises as RuntimeError


def test_a_clock_that_jumps_by_days_does_not_take_the_memory(tmp_path: Path) -> None:
    days = 100 * 86_400_000  # milliseconds
    path = encode(tmp_path / "a.mkv", numbered(3, 480, 640), ticks=[0, 100, days])
    with pytest.raises(BadInput, match=r"the frames of .*a\.mkv take .* GiB, more than"):
        read(path, fps=25)
    assert len(read(path, fps=25, count=8)) == 8
