"""Camera paths, easing, pins, and regions that turn and grow: their fields against the maps that they are the motion of."""

import numpy as np
import pytest

import vcjax
from vcjax.errors import BadInput

FRAMES, SIZE = 16, 64


def field(**table):
    return vcjax.strokes({"size": [SIZE, SIZE], **table}).field(FRAMES, SIZE, SIZE)


def followed(motion, frame=FRAMES - 1):
    """Follow each pixel of a frame back to the first, by the nearest neighbour; return where it was, and which stayed inside."""
    rows, columns = np.mgrid[:SIZE, :SIZE].astype(float)
    inside = np.ones((SIZE, SIZE), bool)
    for now in range(frame, 0, -1):
        y, x = np.rint(rows).astype(int), np.rint(columns).astype(int)
        inside &= (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
        step = motion[now, y.clip(0, SIZE - 1), x.clip(0, SIZE - 1)]
        rows, columns = rows - step[..., 1], columns - step[..., 0]
    return np.stack([columns, rows], -1), inside


def turned(pixels, degrees):
    angle = np.deg2rad(degrees)
    c, s = np.cos(angle), np.sin(angle)
    return pixels @ np.array([[c, s], [-s, c]])  # clockwise on the screen


def test_a_roll_turns_the_scene_the_other_way():
    origin, inside = followed(field(camera={"roll": 30}))
    rows, columns = np.mgrid[:SIZE, :SIZE]
    centred = np.stack([columns, rows], -1) - (SIZE - 1) / 2
    expected = turned(centred, 30) + (SIZE - 1) / 2  # the scene has turned by -30 degrees
    assert np.abs(origin - expected)[inside].max() < 1
    assert inside.mean() > 0.5


def test_a_path_reaches_its_keys_at_their_times_and_rests_outside():
    path = [{"time": 0.2, "pan": [0, 0]}, {"time": 0.6, "pan": [12, 0]}, {"time": 0.8, "pan": [12, 6]}]
    motion = field(camera={"path": path})
    total = np.cumsum(motion[:, 32, 32], axis=0)
    np.testing.assert_allclose(total[3], [0, 0], atol=1e-5)
    np.testing.assert_allclose(total[9], [-12, 0], atol=1e-5)
    np.testing.assert_allclose(total[12], [-12, -6], atol=1e-5)
    np.testing.assert_allclose(total[15], [-12, -6], atol=1e-5)


def test_a_path_of_two_keys_is_pan_zoom_and_roll():
    moves = {"pan": [5, -3], "zoom": 1.3, "roll": 10}
    constant = field(camera=moves)
    path = field(camera={"path": [{"time": 0}, {"time": 1, **moves}]})
    np.testing.assert_allclose(path, constant, atol=1e-5)


@pytest.mark.parametrize(
    ("easing", "first", "middle"), [("ease-in", 0.5, 0.25), ("ease-out", 2, 0.75), ("ease-in-out", 0.5, 0.5)]
)
def test_easing_changes_the_speed_and_not_the_way(easing, first, middle):
    line = {"points": [[12, 32], [52, 32]], "width": 12}
    linear, eased = (
        vcjax.strokes({"size": [64, 64], "strokes": [line | more]}).tracks(17, 64, 64)[0, :, 0]
        for more in ({}, {"easing": easing})
    )
    np.testing.assert_allclose(eased[[0, -1]], linear[[0, -1]])
    np.testing.assert_allclose(eased[8] - eased[0], 40 * middle)
    assert bool(eased[1] - eased[0] < linear[1] - linear[0]) is (first < 1)
    camera = field(camera={"pan": [15, 0], "easing": easing})[1:, 0, 0, 0]
    np.testing.assert_allclose(camera.sum(), -15, atol=1e-4)
    assert bool(abs(camera[0]) < 1) is (first < 1)


def test_a_pin_rests_under_a_moving_camera():
    motion = field(camera={"pan": [15, 0]}, strokes=[{"points": [[32, 32]], "width": 20}])
    rows, columns = np.mgrid[:SIZE, :SIZE]
    inside = np.hypot(columns - 31.5, rows - 31.5) <= 10
    assert not motion[:, inside].any()
    np.testing.assert_allclose(motion[1:, ~inside, 0], -1, atol=1e-6)


def test_a_region_turns_and_grows_about_its_centre_while_it_moves():
    square = [[16, 24], [32, 24], [32, 40], [16, 40]]
    stroke = {
        "points": [[24, 32], [40, 32]],
        "region": square,
        "rotation": [[0, 0], [1, 40]],
        "scale": [[0, 1], [1, 1.5]],
    }
    motion = field(strokes=[stroke])
    moving = np.abs(motion).max(-1) > 0
    assert not motion[0].any()
    area = moving.sum((1, 2))
    np.testing.assert_allclose(area[-1], 16 * 16 * 1.5**2, rtol=0.05)
    origin, _ = followed(motion)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    offset = np.stack([columns, rows], -1) - np.array([39.5, 31.5])
    expected = turned(offset, -40) / 1.5 + np.array([23.5, 31.5])
    well_inside = np.linalg.norm(offset, axis=-1) < 9
    assert np.abs(origin - expected)[well_inside].max() < 1.5
    assert np.abs(origin - expected)[well_inside].mean() < 0.5


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"camera": {"easing": "slow"}}, "easing must be one of linear, ease-in"),
        ({"camera": {"roll": float("inf")}}, "roll of the camera must be a finite number"),
        ({"camera": {"pan": [1, 0], "path": [{"time": 0}]}}, "a path, or pan, zoom and roll, not both"),
        ({"camera": {"path": [{"time": 0.5}, {"time": 0.5}]}}, "times of the camera's path must increase"),
        ({"strokes": [{"points": [[1, 1]], "scale": [[0, 0]]}]}, "scale of a stroke must be pairs"),
        ({"strokes": [{"points": [[1, 1]], "rotation": [[0, 1], [0, 2]]}]}, "times of the rotation"),
        ({"strokes": [{"points": [[1, 1]], "easing": "fast"}]}, "easing must be one of"),
    ],
)
def test_a_bad_camera_or_stroke_is_one_sentence(table, message):
    with pytest.raises(BadInput, match=message):
        field(**table)
