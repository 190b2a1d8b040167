"""Strokes: their motion field against known motion, their file formats, and errors."""

import json
import time
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from vcjax.composer.composer import Composer
from vcjax.conditions.base import ClipShape
from vcjax.conditions.image import Image
from vcjax.conditions.motion import Motion
from vcjax.data import sprites
from vcjax.errors import BadInput

FRAMES, SIZE = 16, 64
SHAPE = ClipShape(frames=FRAMES, height=SIZE, width=SIZE, fps=4.0)
ACROSS = {"points": [[17, 32], [47, 32]], "width": 12}  # 30 pixels in 15 steps: 2 a frame


def make_strokes(*strokes, size=(SIZE, SIZE), **camera):
    return vcjax.strokes({"size": list(size), "strokes": list(strokes), "camera": camera})


def disc(centre, radius):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(columns - centre[0], rows - centre[1]) <= radius


def test_a_straight_stroke_moves_a_disc_only():
    strokes = make_strokes(ACROSS)
    field = strokes.field(FRAMES, SIZE, SIZE)
    (track,) = strokes.tracks(FRAMES, SIZE, SIZE)
    assert field.dtype == np.float32
    # (17, 32) from the top left corner is (16.5, 31.5) from the centre of the top left pixel
    np.testing.assert_allclose(track, [[16.5 + 2 * t, 31.5] for t in range(FRAMES)], atol=1e-9)
    assert not field[0].any()
    for t in range(1, FRAMES):
        moving = disc(track[t], 6)
        np.testing.assert_allclose(field[t, moving], np.tile([2.0, 0.0], (moving.sum(), 1)), atol=1e-6)
        assert not field[t, ~moving].any()


@pytest.mark.parametrize("end", [[47, 32], [32, 60], [12, 10]])
def test_a_disc_warped_by_the_field_is_the_disc_of_the_next_frame(end):
    strokes = make_strokes({"points": [[32, 32], end], "width": 20})
    (track,) = strokes.tracks(FRAMES, SIZE, SIZE)
    field = strokes.field(FRAMES, SIZE, SIZE)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    for t in range(1, FRAMES):
        now = disc(track[t], 10)
        origin = np.stack([columns, rows], -1)[now] - field[t, now]
        # every pixel of the disc comes from the disc of the previous frame
        from_centre = np.linalg.norm(origin - track[t - 1], axis=-1)
        assert from_centre.max() <= 10 + 1e-4
        assert not field[t, ~now].any()


def test_pan_is_a_constant_field_opposite_to_the_camera():
    field = make_strokes(pan=[15, -30]).field(FRAMES, SIZE, SIZE)
    np.testing.assert_allclose(field[1:], np.broadcast_to([-1.0, 2.0], field[1:].shape), atol=1e-6)
    assert not field[0].any()


def test_zoom_is_scaling_about_the_centre():
    zoom = 1.5
    field = make_strokes(zoom=zoom).field(FRAMES, SIZE, SIZE)
    step = zoom ** (1 / (FRAMES - 1))
    rows, columns = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    expected = np.stack([columns, rows], -1) * (1 - 1 / step)
    np.testing.assert_allclose(field[1:], np.broadcast_to(expected, field[1:].shape), atol=1e-5)
    # for small steps, the derivative of scaling: log(zoom) p per clip
    many = make_strokes(zoom=zoom).field(1001, SIZE, SIZE)[-1] * 1000
    np.testing.assert_allclose(many, np.log(zoom) * np.stack([columns, rows], -1), atol=0.01)


def test_pan_and_zoom_compose():
    pan, zoom = np.array([6.0, -9.0]), 1.3
    field = make_strokes(pan=pan.tolist(), zoom=zoom).field(FRAMES, SIZE, SIZE)
    first = np.array([9.0, -4.0])  # a point of the first frame, relative to its centre
    share = np.arange(FRAMES)[:, None] / (FRAMES - 1)
    seen = zoom**share * (first - pan * share) + (SIZE - 1) / 2
    for t in range(1, FRAMES):
        x, y = seen[t]
        left, top = int(x), int(y)  # the field is linear, so bilinear sampling is exact
        weights = np.outer([1 - (y - top), y - top], [1 - (x - left), x - left])
        vector = (field[t, top : top + 2, left : left + 2] * weights[..., None]).sum((0, 1))
        np.testing.assert_allclose(vector, seen[t] - seen[t - 1], atol=1e-5)


@pytest.mark.parametrize(
    ("height", "width", "scale"), [(128, 128, 2.0), (32, 32, 0.5), (64, 96, 1.5), (96, 64, 1.5)]
)
def test_a_clip_of_another_size_is_covered_and_cropped_at_the_centre(height, width, scale):
    strokes = make_strokes({"points": [[32, 32], [47, 32]], "width": 12}, pan=[15, 0])
    (track,) = strokes.tracks(FRAMES, height, width)
    np.testing.assert_allclose(track[0], [(width - 1) / 2, (height - 1) / 2])
    field = strokes.field(FRAMES, height, width)
    assert field.shape == (FRAMES, height, width, 2)
    centre = field[1, height // 2, width // 2]
    np.testing.assert_allclose(centre, [scale, 0], atol=1e-5)
    np.testing.assert_allclose(field[1, 0, 0], [-scale, 0], atol=1e-5)
    moving = (field[1, ..., 0] > 0).sum()
    assert (
        abs(moving - np.pi * (6 * scale) ** 2) < 0.12 * np.pi * (6 * scale) ** 2
    )  # discretisation of the boundary


def test_points_are_reached_at_their_times_and_the_region_rests_outside_of_them():
    corner = {"points": [[10, 10], [20, 10], [20, 40]], "times": [0.2, 0.4, 0.8]}
    (track,) = make_strokes(corner).tracks(11, SIZE, SIZE)
    x = [10, 10, 10, 15, 20, 20, 20, 20, 20, 20, 20]
    y = [10, 10, 10, 10, 10, 17.5, 25, 32.5, 40, 40, 40]
    np.testing.assert_allclose(track + 0.5, np.stack([x, y], -1), atol=1e-9)
    field = make_strokes(corner).field(11, SIZE, SIZE)
    assert [bool(frame.any()) for frame in field] == [False] * 3 + [True] * 6 + [False] * 2


def test_without_times_the_line_is_traversed_at_constant_speed():
    (track,) = make_strokes({"points": [[10, 10], [20, 10], [20, 30]]}).tracks(16, SIZE, SIZE)
    np.testing.assert_allclose(np.linalg.norm(np.diff(track, axis=0), axis=-1), 2.0, atol=1e-9)


def test_a_region_is_translated():
    square = [[4, 20], [14, 20], [14, 30], [4, 30]]
    field = make_strokes({"points": [[0, 0], [30, 15]], "region": square}).field(FRAMES, SIZE, SIZE)
    for t in range(1, FRAMES):
        moving = np.zeros((SIZE, SIZE), bool)
        moving[20 + t : 30 + t, 4 + 2 * t : 14 + 2 * t] = True
        np.testing.assert_array_equal(field[t, ..., 0] != 0, moving)
        np.testing.assert_allclose(field[t, moving], np.tile([2.0, 1.0], (100, 1)), atol=1e-6)


def test_a_region_may_be_concave():
    notch = [[10, 10], [30, 10], [30, 30], [20, 15], [10, 30]]  # a V cut from below
    field = make_strokes({"points": [[0, 0], [0.1, 0]], "region": notch}).field(2, SIZE, SIZE)[1]
    assert field[12, 20].any()
    assert not field[25, 20].any()
    assert field[25, 11].any()
    assert field[25, 28].any()


def test_strokes_cover_the_camera_motion_and_earlier_strokes():
    resting = {"points": [[32, 32], [32, 32]], "width": 8}
    field = make_strokes(ACROSS, resting, pan=[-15, 0]).field(FRAMES, SIZE, SIZE)[7]
    np.testing.assert_allclose(field[2, 2], [1, 0], atol=1e-6)
    assert not field[32, 32].any()
    np.testing.assert_allclose(field[32, 26], [2, 0], atol=1e-6)


def test_strokes_reproduce_the_motion_of_the_sprite_world():
    """Clips whose camera pans or zooms, with an object that neither rotates nor grows."""
    indices = jnp.arange(64)
    clips = jax.device_get(sprites.batch("test", indices))
    scenes = jax.device_get(jax.jit(jax.vmap(partial(sprites.scene, "test")))(indices))
    facts = clips.facts
    steady = (facts.turn[:, 0] == 0) & (facts.growth[:, 0] == 0)
    chosen = np.flatnonzero(steady & ((facts.camera == 0) | (facts.camera > 0) & (facts.camera < 5)))[:8]
    zoomed = np.flatnonzero(facts.camera >= 5)[:4]
    assert len(chosen) == 8
    assert len(zoomed) == 4
    for i in [*chosen, *zoomed]:
        times = np.linspace(0, 1, FRAMES)
        stroke = {"points": (clips.track[i] + 0.5).tolist(), "times": times.tolist(), "width": 8}
        camera = {"pan": scenes.pan[i].tolist(), "zoom": float(np.exp(scenes.log_zoom[i]))}
        field = make_strokes(stroke, **camera).field(FRAMES, SIZE, SIZE)
        behind = (clips.ids[i] == 0) & (field == make_strokes(**camera).field(FRAMES, SIZE, SIZE)).all(-1)
        np.testing.assert_allclose(field[behind], clips.motion[i][behind], atol=1e-3)
        if i in chosen:
            within = clips.mask[i, ..., 0] & np.stack([disc(centre, 4) for centre in clips.track[i]])
            assert within.any() == (facts.shape[i, 0] != sprites.SHAPES.index("ring"))
            np.testing.assert_allclose(field[within], clips.motion[i][within], atol=1e-3)


def test_one_frame_has_no_motion():
    assert not make_strokes(ACROSS, zoom=2).field(1, SIZE, SIZE).any()


def test_the_motion_condition_reads_strokes_from_objects_and_files(tmp_path):
    path = tmp_path / "strokes.json"
    path.write_text(json.dumps({"size": [SIZE, SIZE], "strokes": [ACROSS]}))
    expected = make_strokes(ACROSS).field(FRAMES, SIZE, SIZE)
    for source in (path, str(path), vcjax.strokes(path)):
        np.testing.assert_array_equal(Motion().read(source, SHAPE, {}), expected)
    # a map of scale 1.5 is in its own pixels
    larger = Motion(scale=1.5).read(path, SHAPE, {})
    assert larger.shape == (FRAMES, 96, 96, 2)
    np.testing.assert_allclose(larger.max(), 3.0, atol=1e-5)


def svg(*paths, head='viewBox="0 0 64 64"'):
    return f'<svg xmlns="http://www.w3.org/2000/svg" {head}>{"".join(paths)}</svg>'


def from_svg(tmp_path, text):
    path = tmp_path / "drawing.svg"
    path.write_text(text)
    return vcjax.strokes(path)


@pytest.mark.parametrize(
    "data",
    [
        "M 17 32 L 47 32",
        "M17,32H47",
        "m17 32 30 0",
        "m 17,32 h 3e1",
        "M 17 32 C 27 32 37 32 47 32",
        "M17 32q15 0 30 0",
    ],
)
def test_equivalent_paths_give_the_same_stroke(data, tmp_path):
    strokes = from_svg(tmp_path, svg(f'<g stroke-width="12"><path d="{data}"/></g>'))
    np.testing.assert_allclose(
        strokes.field(FRAMES, SIZE, SIZE), make_strokes(ACROSS).field(FRAMES, SIZE, SIZE), atol=1e-5
    )


def test_svg_curves_and_closed_paths(tmp_path):
    k = 20 * 0.5522847498  # a cubic approximation of a quarter circle, within 3e-4 of the radius
    (stroke,) = from_svg(tmp_path, svg(f'<path d="M 52 32 C 52 {32 + k} {32 + k} 52 32 52"/>')).strokes
    radii = np.linalg.norm(np.array(stroke.points) - 32, axis=-1)
    np.testing.assert_allclose(radii, 20, atol=0.01)
    (stroke,) = from_svg(tmp_path, svg('<path d="M 0 0 Q 10 20 20 0"/>')).strokes
    x, y = np.transpose(stroke.points)
    np.testing.assert_allclose(y, x * (20 - x) / 10, atol=1e-9)  # the parabola with these ends and slopes
    (stroke,) = from_svg(tmp_path, svg('<path d="M 5 5 V 9 H 8 z"/>')).strokes
    assert stroke.points == ((5, 5), (5, 9), (8, 9), (5, 5))
    moves = from_svg(tmp_path, svg('<path d="M 0 0 L 1 1 m 5 5 L 7 7"/>', '<path d="M 9 9 v 2"/>')).strokes
    assert [stroke.points for stroke in moves] == [((0, 0), (1, 1)), ((6, 6), (7, 7)), ((9, 9), (9, 11))]


def test_svg_size_origin_and_width(tmp_path):
    path = '<path style="fill:none;stroke-width:3px" d="M 12 8 L 20 8"/>'
    strokes = from_svg(tmp_path, svg(path, head='viewBox="10,5,100,50" width="1mm"'))
    assert strokes.size == (100, 50)
    assert strokes.strokes[0].points == ((2, 3), (10, 3))
    assert strokes.strokes[0].width == 3
    assert from_svg(tmp_path, svg(path, head='width="80px" height="40"')).size == (80, 40)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"points": []}, "at least 1, not 0"),
        ({"points": [[1, 2], [3]]}, "finite numbers x, y"),
        ({"points": [[1, 2], [float("nan"), 0]]}, "finite numbers x, y"),
        ({"points": 7}, r"strokes\[0\].points must be a list"),
        ({"points": [["a", 2], [3, 4]]}, "must be of type float"),
        ({"times": [0.5, 0.5]}, "times of a stroke must increase"),
        ({"times": [0, 15]}, "from 0 at the earliest to 1 at the latest"),
        ({"times": [0, float("nan")]}, "times of a stroke must increase"),
        ({"times": [0, 0.5, 1]}, "2 points needs as many times, not 3"),
        ({"width": 0}, "width of a stroke must be above 0"),
        ({"region": [[1, 2], [3, 4], [5, 0]]}, "a region or a width, not both"),
        ({"region": [[1, 2], [3, 4]]}, "region of a stroke must be at least 3"),
        ({"colour": "red"}, "has no setting 'colour': it has points, times, width, region"),
    ],
)
def test_the_error_of_a_wrong_stroke_names_the_file(change, reason, tmp_path):
    path = tmp_path / "strokes.json"
    path.write_text(json.dumps({"size": [64, 64], "strokes": [{**ACROSS, **change}]}))
    with pytest.raises(BadInput, match=reason) as caught:
        Motion().read(path, SHAPE, {})
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.json", "{", "is not valid json"),
        ("a.json", "[" * 100_000, "is nested more than"),
        ("a.json", "[1]", "must be a table"),
        ("a.json", "{}", "lacks 'size'"),
        ("a.json", '{"size": [64, 0]}', "width and a height above 0"),
        ("a.json", '{"size": [64]}', "width and a height above 0"),
        ("a.json", '{"size": [64, 64], "camera": {"zoom": 0}}', "zoom of the camera must be above 0"),
        ("a.json", '{"size": [64, 64], "camera": {"pan": [1]}}', "pan of the camera must be finite"),
        ("a.json", '{"size": [9, 9], "camera": {"pan": [1, 1' + "0" * 400 + "]}}", "pan of the camera"),
        ("a.json", '{"size": [64, 64], "zoom": 2}', "no setting 'zoom': it has size, strokes, camera"),
        ("a.svg", "<svg", "must be valid svg"),
        ("a.svg", svg(), "at least one path"),
        ("a.svg", svg('<defs><path d="M 0 0 L 1 1"/></defs>'), "at least one path"),
        ("a.svg", svg('<path d="M 0 0 L 1 1"/>', head=""), "viewBox"),
        ("a.svg", svg('<path d="M 0 0 L 1 1"/>', head='width="100%" height="9"'), "in pixels, not '100%'"),
        ("a.svg", svg('<path d="M 0 0 A 5 5 0 0 1 9 9"/>'), "not A: convert it to Bezier curves"),
        ("a.svg", svg('<path d="M 0 0 L 1"/>'), "L of a path takes 2 numbers at a time"),
        ("a.svg", svg('<path d="M 0 0 z 1"/>'), "z of a path takes 0 numbers"),
        ("a.svg", svg('<path d="L 0 0 1 1"/>'), "must begin with M"),
        ("a.svg", svg('<path d="1 1 L 2 2"/>'), "must begin with M"),
        ("a.svg", svg('<path d="M 0 0 L e 1 1"/>'), "commands and numbers only"),
        ("a.svg", svg('<path d="M 0 0 L nan 1"/>'), "L of a path takes 2 numbers at a time"),
        ("a.svg", svg('<path d="M 0 0"/>'), "at least 2, not 1"),
        ("a.svg", svg('<g transform="scale(2)"><path d="M 0 0 L 1 1"/></g>'), "no transform"),
    ],
)  # fmt: skip
def test_the_error_of_a_wrong_file_names_it(name, text, reason, tmp_path):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(BadInput, match=reason) as caught:
        vcjax.strokes(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_missing_files_and_other_formats_are_errors(tmp_path):
    with pytest.raises(BadInput, match=r"nowhere\.json cannot be read"):
        Motion().read(tmp_path / "nowhere.json", SHAPE, {})
    with pytest.raises(BadInput, match=r"must be a file of kind \.json or \.svg"):
        vcjax.strokes("strokes.txt")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="not text in UTF-8"):
        vcjax.strokes(tmp_path / "bytes.json")


def test_the_preview_draws_arrows_where_there_is_motion_over_the_first_image():
    field = make_strokes({"points": [[8, 32], [38, 32]], "width": 16}).field(FRAMES, SIZE, SIZE)
    over_black = Motion().preview(field, SHAPE)
    assert over_black.shape == (FRAMES, SIZE, SIZE, 3)
    assert not over_black[0].any()
    rows, columns = np.nonzero(over_black[8].any(-1))
    assert abs(rows.mean() - 31.5) < 4
    assert abs(columns.mean() - 23.5) < 4
    assert not over_black[8, ..., 1:].any()  # to the right is red

    conditions = {"image": Image(), "motion": Motion()}
    composer = object.__new__(Composer)  # `preview` uses its conditions only
    object.__setattr__(composer, "conditions", conditions)
    image = np.full((1, SIZE, SIZE, 3), 0.5, np.float32)
    pictures = composer.preview({"motion": field, "image": image}, SHAPE)
    np.testing.assert_array_equal(pictures["motion"][0], np.full((SIZE, SIZE, 3), 64))
    drawn_on = (pictures["motion"][8] != 64).any(-1)
    np.testing.assert_array_equal(drawn_on, over_black[8].any(-1))
    assert (composer.preview({"motion": field}, SHAPE)["motion"] == over_black).all()


LINE = {"points": [[0, 0], [1, 1]]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strokes": [LINE] * 1_001}, "at most 1000 strokes"),
        ({"strokes": [{"points": [[0, 0]] * 10_001}]}, "must be at most 10000, not 10001"),
        ({"strokes": [{**LINE, "region": [[0, 0]] * 1_001}]}, "must be at most 1000, not 1001"),
        ({"strokes": [{"points": [[1e308, -1e308], [-1e308, 1e308]]}]}, "within 1e[+]06 pixels"),
        ({"strokes": [{**LINE, "width": 1e300}]}, "at most 1e[+]06"),
        ({"strokes": [{**LINE, "rotation": [[0, 0], [1, 1e300]]}]}, "within 1e[+]06"),
        ({"size": [1e-300, 1e300]}, "of at most 1e[+]06"),
    ],
)
def test_what_would_take_hours_or_overflow_is_named(changes, message):
    with pytest.raises(BadInput, match=message):
        vcjax.strokes({"size": [64, 64], "strokes": [LINE], **changes})


def test_a_drawing_of_thousands_of_paths_is_refused_at_the_first_too_many(tmp_path):
    path = tmp_path / "a.svg"
    paths = '<path d="M0 0L9 9"/>' * 5_000
    path.write_text(f'<svg viewBox="0 0 64 64">{paths}</svg>')
    began = time.monotonic()
    with pytest.raises(BadInput, match="at most 1000 strokes"):
        vcjax.strokes(path)
    assert time.monotonic() - began < 5
