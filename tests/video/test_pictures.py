"""Still and animated images are read as clips."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.video.source_videos import levels, numbered
from vcjax.errors import BadInput, VcjaxWarning
from vcjax.video.read import probe, read


def picture(height: int = 24, width: int = 40) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.webp", "a.ppm"])
def test_a_still_image_is_a_clip_of_one_frame_at_any_rate(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(picture()).save(path, **({"lossless": True} if name == "a.webp" else {}))
    for request in ({}, {"fps": 4.0, "count": 16}, {"fps": 30.0}):
        clip = read(path, **request)
        np.testing.assert_array_equal(clip.frames, picture()[None])
        assert clip.fps == request.get("fps", 1.0)
    info = probe(path)
    assert (info.height, info.width, info.frames, info.seconds) == (24, 40, 1, None)


def test_the_format_is_detected_from_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    Image.fromarray(picture()).save(path, "PNG")
    np.testing.assert_array_equal(read(path).frames, picture()[None])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture()).save(tmp_path / "a.png", exif=exif)
    turned = {  # EXIF 2.3, tag 274: sides of the image at row 0 and column 0
        1: picture(),
        2: picture()[:, ::-1],
        3: picture()[::-1, ::-1],
        4: picture()[::-1],
        5: picture().swapaxes(0, 1),
        6: np.rot90(picture(), -1),
        7: np.rot90(picture(), 2).swapaxes(0, 1),
        8: np.rot90(picture(), 1),
    }[orientation]
    np.testing.assert_array_equal(read(tmp_path / "a.png").frames[0], turned)


def test_sixteen_bits_of_grey_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65_535, 256).astype(np.uint16).reshape(16, 16)
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    np.testing.assert_array_equal(
        read(tmp_path / "ramp.png").frames[0, ..., 0], np.arange(256).reshape(16, 16)
    )


def test_a_palette_is_applied_and_its_transparent_entry_shows_the_background(tmp_path: Path) -> None:
    image = Image.fromarray(np.array([[0, 1], [2, 0]], np.uint8), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(tmp_path / "a.png", transparency=1)
    frame = read(tmp_path / "a.png", background=(9, 8, 7)).frames[0]
    np.testing.assert_array_equal(frame, [[[255, 0, 0], [9, 8, 7]], [[0, 0, 255], [255, 0, 0]]])


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_blended_with_the_background(tmp_path: Path, mode: str) -> None:
    pixels = np.full((1, 3, 4), 100, np.uint8)
    pixels[0, :, 3] = [0, 51, 255]
    Image.fromarray(pixels).convert(mode).save(tmp_path / "a.png")
    frame = read(tmp_path / "a.png").frames[0]
    np.testing.assert_array_equal(frame[0, :, 0], [255, 224, 100])  # 255 + (100 - 255) * 51 / 255 = 224


def test_black_and_white_and_cmyk_become_rgb(tmp_path: Path) -> None:
    Image.fromarray(np.eye(4, dtype=bool)).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read(tmp_path / "bits.png").frames[0, ..., 2], 255 * np.eye(4))
    Image.new("CMYK", (4, 4)).save(tmp_path / "cmyk.tiff")
    assert read(tmp_path / "cmyk.tiff").frames.min() == 255


def animate(path: Path, milliseconds: list[int]) -> Path:
    first, *rest = [Image.fromarray(frame) for frame in numbered(len(milliseconds))]
    options = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=rest, duration=milliseconds, loop=0, **options)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png"])
def test_the_frames_of_an_animation_have_their_declared_durations(tmp_path: Path, name: str) -> None:
    path = animate(tmp_path / name, [100, 300, 100, 500])
    assert levels(read(path, fps=10).frames) == [0, 1, 1, 1, 2, 3, 3, 3, 3, 3]
    assert levels(read(path, fps=10, start=0.4, count=3).frames) == [2, 3, 3]
    info = probe(path)
    assert info.frames == 4
    assert info.seconds == pytest.approx(1.0)
    assert info.fps == pytest.approx(4.0)


def test_an_animation_without_durations_is_read(tmp_path: Path) -> None:
    path = animate(tmp_path / "a.gif", [0, 0, 0])
    assert levels(read(path, fps=25).frames) == [0, 1, 2]


def test_the_pages_of_a_tiff_are_not_frames(tmp_path: Path) -> None:
    first, second = (Image.fromarray(frame) for frame in numbered(2))
    first.save(tmp_path / "pages.tiff", save_all=True, append_images=[second])
    assert levels(read(tmp_path / "pages.tiff").frames) == [0]


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_a_truncated_animation_returns_the_decodable_frames(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
    first, *rest = [Image.fromarray(frame) for frame in frames]
    path = tmp_path / name
    first.save(path, save_all=True, append_images=rest, duration=100)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 7 // 12])
    with pytest.warns(VcjaxWarning, match=rf"{name} .*\b3 frames"):
        clip = read(path, fps=10)
    assert len(clip) == 3


def test_a_truncated_still_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(picture(200, 200)).save(path)
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(BadInput, match=r"a\.png contains no frame that can be decoded"):
        read(path)


def test_floating_point_pixels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((4, 4), np.float32)).save(tmp_path / "depth.tiff")
    with pytest.raises(BadInput, match=r"depth\.tiff contains floating-point pixels"):
        read(tmp_path / "depth.tiff")


def test_a_frame_of_more_pixels_than_a_camera_has_is_refused(tmp_path: Path) -> None:
    screen = struct.pack("<6sHHBBB", b"GIF89a", 12_000, 12_000, 0x80, 0, 0) + bytes(6)
    image = struct.pack("<BHHHHB", 0x2C, 0, 0, 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    (tmp_path / "a.gif").write_bytes(screen + image + b";")
    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(BadInput, match=r"a\.gif has frames of 12000x12000 pixels, more than"),
    ):
        read(tmp_path / "a.gif")
