"""Resizing covers the target and crops its centre, with the rounding of each rule."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from vcjax.errors import BadInput
from vcjax.video.clip import is_repeated, repeated
from vcjax.video.resize import resize_crop, resize_crop_field


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, height, width, channels), dtype=np.uint8)


def pillow(frame: np.ndarray, steps: list[tuple[int, int, Image.Resampling]], left: int, top: int, size: int):
    image = Image.fromarray(frame)
    for width, height, kind in steps:
        image = image.resize((width, height), kind)
    return np.asarray(image.crop((left, top, left + size, top + size)))


BOX, BICUBIC = Image.Resampling.BOX, Image.Resampling.BICUBIC


@pytest.mark.parametrize(
    ("shape", "size", "rule", "steps", "left", "top"),
    [  # computed by hand from the rules of the released model
        ((360, 640), 256, "latent", [(455, 256, BICUBIC)], 99, 0),  # 455.1 wide, half of 199 floored
        ((480, 854), 256, "latent", [(455, 256, BICUBIC)], 99, 0),  # 455.47 rounds down
        ((640, 361), 256, "latent", [(256, 454, BICUBIC)], 0, 99),  # 453.9 rounds up
        ((721, 1281), 256, "latent", [(640, 360, BOX), (455, 256, BICUBIC)], 99, 0),
        ((512, 512), 256, "latent", [(256, 256, BOX)], 0, 0),
        ((480, 854), 224, "latent", [(427, 240, BOX), (399, 224, BICUBIC)], 87, 0),
        ((640, 361), 384, "map", [(384, 680, BICUBIC)], 0, 148),  # 680.8 truncated
        ((1080, 1920), 384, "map", [(682, 384, BICUBIC)], 149, 0),  # in one step, 682.7 truncated
        ((100, 100), 384, "map", [(384, 384, BICUBIC)], 0, 0),
        ((360, 642), 224, "picture", [(399, 224, BICUBIC)], 88, 0),  # 399.5 truncated, 87.5 rounded to even
        ((642, 360), 224, "map", [(224, 399, BICUBIC)], 0, 87),  # where "map" floors
    ],
)
def test_square_targets_follow_the_released_rules(shape, size, rule, steps, left, top) -> None:
    frames = picture(*shape)
    expected = np.stack([pillow(frame, steps, left, top, size) for frame in frames])
    np.testing.assert_array_equal(resize_crop(frames, size, size, rule=rule), expected)


@settings(deadline=None, max_examples=60)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    target=st.tuples(st.integers(1, 50), st.integers(1, 50)),
    rule=st.sampled_from(["latent", "map", "picture"]),
)
def test_any_size_resizes_to_any_other_and_a_constant_image_stays_constant(
    height, width, target, rule
) -> None:
    frames = np.full((1, height, width, 3), 77, np.uint8)
    result = resize_crop(frames, *target, rule=rule)
    assert result.shape == (1, *target, 3)
    assert (result == 77).all()  # black would mean that the crop exceeds the image
    field = resize_crop_field(frames.astype(np.float32), *target)
    np.testing.assert_allclose(field, np.full((1, *target, 3), 77.0), rtol=1e-6)


@pytest.mark.parametrize("rule", ["latent", "map"])
def test_channels_do_not_mix(rule) -> None:
    frames = picture(40, 60, 4)  # the fourth must not be treated as alpha
    joint = resize_crop(frames, 16, 24, rule=rule)
    for channel in range(4):
        separate = resize_crop(frames[..., channel : channel + 1], 16, 24, rule=rule)
        np.testing.assert_array_equal(joint[..., channel : channel + 1], separate)


def test_a_frame_of_the_right_size_is_unchanged() -> None:
    frames = picture(32, 48)
    for rule in ("latent", "map"):
        np.testing.assert_array_equal(resize_crop(frames, 32, 48, rule=rule), frames)


def interpolated(plane: np.ndarray, y: float, x: float) -> float:
    """Interpolate bilinearly at one position, clamped at the border."""
    y, x = np.clip(y, 0, plane.shape[0] - 1), np.clip(x, 0, plane.shape[1] - 1)
    top, left = int(y), int(x)
    down, right = min(top + 1, plane.shape[0] - 1), min(left + 1, plane.shape[1] - 1)
    above = plane[top, left] * (1 - (x - left)) + plane[top, right] * (x - left)
    below = plane[down, left] * (1 - (x - left)) + plane[down, right] * (x - left)
    return above * (1 - (y - top)) + below * (y - top)


@pytest.mark.parametrize(
    ("shape", "size", "full", "offset"),
    [
        ((36, 64), 27, (27, 48), (0, 10)),  # remainder 21: 10.5 rounds to even 10
        ((36, 64), 25, (25, 44), (0, 10)),  # remainder 19: 9.5 rounds to even 10, flooring would give 9
        ((64, 37), 16, (27, 16), (6, 0)),  # 27.7 truncated; 5.5 rounds to 6
        ((9, 17), 30, (30, 56), (0, 13)),  # upsampling
    ],
)
def test_a_field_is_interpolated_at_half_pixel_centres(shape, size, full, offset) -> None:
    field = np.random.default_rng(0).normal(size=(1, *shape, 2)).astype(np.float32)
    result = resize_crop_field(field, size, size)
    scale = shape[0] / full[0], shape[1] / full[1]
    for y, x in [(0, 0), (0, size - 1), (size - 1, 0), (size // 2, size // 3), (size - 1, size - 1)]:
        position = [(k + o + 0.5) * s - 0.5 for k, o, s in zip((y, x), offset, scale, strict=True)]
        expected = [interpolated(field[0, ..., channel], *position) for channel in range(2)]
        np.testing.assert_allclose(result[0, y, x], expected, atol=1e-5)  # float32 of numbers about 1


def test_values_of_a_field_are_not_rescaled_and_640x360_crops_at_column_100() -> None:
    columns = np.broadcast_to(np.arange(640, dtype=np.float32)[None, None, :, None], (1, 360, 640, 2))
    result = resize_crop_field(columns.copy(), 256, 256)
    expected = (np.arange(100, 356) + 0.5) * (640 / 455) - 0.5
    np.testing.assert_allclose(result[0, 0, :, 0], expected, rtol=1e-5)


def test_a_field_is_not_smoothed_when_it_shrinks() -> None:
    stripes = np.zeros((1, 30, 30, 2), np.float32)
    stripes[:, :, 1::3] = 9.0  # shrunk three times, every sample falls on a stripe
    assert (resize_crop_field(stripes, 10, 10) == 9.0).all()


def test_a_target_without_pixels_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 1x1 pixels, not 0x4"):
        resize_crop(picture(8, 8), 0, 4, rule="map")
    with pytest.raises(BadInput, match="at least 1x1 pixels, not 4x0"):
        resize_crop_field(np.zeros((1, 8, 8, 2), np.float32), 4, 0)


def test_a_repeated_frame_is_resized_once() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (1, 40, 60, 3), dtype=np.uint8)
    resized = resize_crop(repeated(frame, 5), 16, 16, rule="map")
    assert is_repeated(resized)
    assert len(resized) == 5
    np.testing.assert_array_equal(resized, resize_crop(frame.repeat(5, 0), 16, 16, rule="map"))
