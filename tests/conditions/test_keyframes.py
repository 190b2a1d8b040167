"""Keyframes and masks that differ from frame to frame."""

import json

import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.conditions.base import ClipShape
from vcjax.conditions.mask import Mask
from vcjax.conditions.mask_polygons import MaskKey, MaskPolygons, as_mask_polygons
from vcjax.data import sprites
from vcjax.errors import BadInput

SHAPE = ClipShape(frames=16, height=64, width=64, fps=8.0)


@pytest.fixture(scope="module")
def frames():
    return np.asarray(sprites.batch("test", jnp.array([3])).frames[0])


def read(source, shape=SHAPE):
    return Mask().read(source, shape, {})


def test_pictures_are_visible_in_their_frames_and_all_else_is_hidden(frames, tmp_path):
    picture = vcjax.Clip(frames[:1], 8.0)
    picture.save(tmp_path / "a.png")
    array = read(vcjax.keyframes({0: picture, 7: tmp_path / "a.png", -1: picture}))
    visible = array[..., 3]
    assert [i for i in range(16) if visible[i].all()] == [0, 7, 15]
    assert not array[[1, 6, 8, 14]].any()
    for frame in (0, 7, 15):
        np.testing.assert_allclose(array[frame, ..., :3], frames[0] / 127.5 - 1, atol=1e-6)


def test_a_clip_is_continued_forwards_and_backwards(frames):
    clip = vcjax.Clip(frames, 8.0)
    array = read(vcjax.keyframes(after=clip, before=clip, overlap=3))
    np.testing.assert_allclose(array[:3, ..., :3], frames[-3:] / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(array[-3:, ..., :3], frames[:3] / 127.5 - 1, atol=1e-6)
    assert not array[3:-3].any()


def test_a_description_is_read_from_a_file(frames, tmp_path):
    vcjax.Clip(frames[:1], 8.0).save(tmp_path / "a.png")
    table = {"pictures": [{"frame": 2, "image": str(tmp_path / "a.png")}]}
    (tmp_path / "keys.json").write_text(json.dumps(table))
    expected = read(vcjax.keyframes({2: tmp_path / "a.png"}))
    for source in (table, tmp_path / "keys.json", vcjax.keyframes(tmp_path / "keys.json")):
        np.testing.assert_array_equal(read(source), expected)


def test_keyframes_survive_json(frames, tmp_path):
    vcjax.Clip(frames[:1], 8.0).save(tmp_path / "a.png")
    composer = vcjax.load("tiny")
    request = composer.request(mask=vcjax.keyframes({0: tmp_path / "a.png"}, after=str(tmp_path / "b.mp4")))
    table = json.loads(json.dumps(request.to_json()))
    assert table["conditions"]["mask"]["value"] == {
        "pictures": [{"frame": 0, "image": str(tmp_path / "a.png")}],
        "after": str(tmp_path / "b.mp4"),
        "overlap": 4,
    }
    again = vcjax.Request.from_json(table)
    assert again.to_json() == request.to_json()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda clip: vcjax.keyframes({16: clip}), "a keyframe at frame 16 is outside of the clip"),
        (lambda clip: vcjax.keyframes({-17: clip}), "a keyframe at frame -1 is outside of the clip"),
        (lambda clip: vcjax.keyframes({0: clip, -16: clip}), "frame 0 has two keyframes"),
        (lambda clip: vcjax.keyframes(), "at least one picture"),
        (lambda clip: vcjax.keyframes(after=clip, overlap=0), "overlap of keyframes must be at least 1"),
        (lambda clip: vcjax.keyframes(after=clip), "has only 1 of the 4 frames of the overlap"),
        (lambda clip: vcjax.keyframes({0: "missing.png"}), "missing.png cannot be read"),
        (lambda clip: vcjax.keyframes("missing.json"), "missing.json cannot be read"),
        (lambda clip: {"pictures": [{"frame": "a", "image": "b"}]}, r"keyframes.pictures\[0\].frame must be"),
    ],
)
def test_a_bad_keyframe_is_one_sentence(frames, make, message):
    with pytest.raises(BadInput, match=message):
        read(make(vcjax.Clip(frames[:1], 8.0)))


def square(left, time):
    return {
        "time": time,
        "polygon": [[left, 16], [left + 16, 16], [left + 16, 32], [left, 32]],
    }


def test_a_drawn_mask_moves_between_its_keys(frames):
    hide = {"size": [64, 64], "keys": [square(0, 0), square(48, 1)]}
    array = Mask().extract(vcjax.Clip(frames, 8.0), SHAPE, {}, 0, hide=hide)
    hidden = array[..., 3] == 0
    columns = [np.flatnonzero(hidden[i, 20]) for i in range(16)]
    assert [c.size for c in columns] == [16] * 16
    np.testing.assert_allclose([c[0] for c in columns], np.linspace(0, 48, 16), atol=1)
    assert not hidden[:, :15].any()
    assert not hidden[:, 33:].any()


def test_a_painted_mask_holds_from_its_key_on_and_later_lines_cover_earlier_ones():
    line = {"points": [[10, 32], [50, 32]], "width": 8}
    dot = {"points": [[30, 32]], "width": 4, "erase": True}
    keys = [{"time": 0, "lines": [line, dot]}, {"time": 8 / 15, "lines": []}]
    hidden = as_mask_polygons({"size": [64, 64], "keys": keys}).hidden(16, 64, 64)
    assert not hidden[8:].any()
    assert (hidden[:8] == hidden[0]).all()
    rows, columns = np.nonzero(hidden[0])
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (
        28,
        35,
        6,
        53,
    )  # centres within 4 of the line
    assert not hidden[0, 31:33, 29:31].any()  # erased
    assert hidden[0, 32, 26]
    assert not hidden[0, 28, 6]  # the ends are round


def test_a_mask_may_be_a_video(frames, tmp_path):
    masks = np.zeros((16, 64, 64, 3), np.uint8)
    for i in range(16):
        masks[i, :, i : i + 20] = 255
    vcjax.Clip(masks, 8.0).save(tmp_path / "m_%02d.png")
    array = Mask().extract(vcjax.Clip(frames, 8.0), SHAPE, {}, 0, hide=str(tmp_path / "m_%02d.png"))
    np.testing.assert_array_equal(array[..., 3] == 0, masks[..., 0] > 0)
    still = Mask().extract(vcjax.Clip(frames, 8.0), SHAPE, {}, 0, hide=str(tmp_path / "m_00.png"))
    np.testing.assert_array_equal(still[5, ..., 3] == 0, masks[0, ..., 0] > 0)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ([], "at least one"),
        ([square(0, 0), {"time": 1, "lines": []}], "as many corners each, or all lines"),
        ([{"time": 0}], "either a polygon or lines"),
        ([{"time": 0, "lines": [{"points": [[0, 0]], "width": 0}]}], "width of a brush line must be above 0"),
        ([square(0, 0), {"time": 1, "polygon": [[0, 0], [1, 0], [1, 1]]}], "as many corners each"),
        ([square(0, 0.5), square(9, 0.5)], "times of a mask must increase"),
        ([square(0, 2)], "time of a mask must be from 0 to 1"),
        ([{"time": 0, "polygon": [[0, 0], [1, 1]]}], "a polygon of a mask must be at least 3"),
    ],
)
def test_a_bad_drawn_mask_is_one_sentence(frames, keys, message):
    with pytest.raises(BadInput, match=message):
        Mask().extract(vcjax.Clip(frames, 8.0), SHAPE, {}, 0, hide={"size": [64, 64], "keys": keys})


def test_what_is_shown_is_the_visible_part(frames):
    mask = Mask()
    array = mask.extract(vcjax.Clip(frames, 8.0), SHAPE, {}, 5)
    pixels, visible = mask.shown(array, (64, 64))
    np.testing.assert_array_equal(visible, array[..., 3] > 0.5)
    np.testing.assert_array_equal(pixels[visible], frames[visible])
    assert MaskPolygons(size=(8, 8), keys=(MaskKey(time=0, polygon=((0, 0), (8, 0), (8, 8))),))
