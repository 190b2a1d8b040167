"""Ground truth of the sprite world: motion, depth, masks, outlines and tracks agree with the pixels."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vcjax.data import sprites
from vcjax.data.sprites import draw

CLIPS = 48
COUNT, SIZE = 16, 64


@pytest.fixture(scope="module")
def clips() -> sprites.Sprites:
    """Clips of the training split, on the host."""
    return jax.device_get(sprites.batch("train", jnp.arange(CLIPS)))


@pytest.fixture(scope="module")
def scenes() -> sprites.Scene:
    """The scenes of `clips`."""
    return jax.device_get(jax.jit(jax.vmap(partial(sprites.scene, "train")))(jnp.arange(CLIPS)))


def of_main(clips: sprites.Sprites, fact: str, table: tuple[str, ...], *names: str) -> np.ndarray:
    """Return which clips have one of these values of a fact (of the main object if per object)."""
    values = getattr(clips.facts, fact)
    values = values[:, 0] if values.ndim == 2 else values
    chosen = np.isin(values, [table.index(name) for name in names])
    assert chosen.any()
    return chosen


def corners(flat, x, y):
    """Return the four pixels around each position, [4, clip, frame, H, W, ...]."""
    clip, frame = np.ogrid[: flat.shape[0], : flat.shape[1]]
    clip, frame = clip[..., None, None], frame[..., None, None]
    return np.stack([flat[clip, frame, y + down, x + right] for down in (0, 1) for right in (0, 1)])


def warp_error(clips: sprites.Sprites, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Return the error of frame t-1 warped by the motion of frame t, the largest over channels, and a mask.

    The mask excludes pixels that were occluded or outside the frame, and blended pixels within 1 of an
    object's edge.
    """
    rows, columns = np.mgrid[:SIZE, :SIZE]
    x = columns - sign * clips.motion[:, 1:, ..., 0]
    y = rows - sign * clips.motion[:, 1:, ..., 1]
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    valid = (left >= 0) & (top >= 0) & (left < SIZE - 1) & (top < SIZE - 1)
    left, top = left.clip(0, SIZE - 2), top.clip(0, SIZE - 2)

    edge = clips.outline[..., 0] > 0
    valid &= ~edge[:, 1:] & ~corners(edge[:, :-1], left, top).any(0)
    valid &= (corners(clips.ids[:, :-1], left, top) == clips.ids[:, 1:]).all(0)

    right, down = (x - left)[..., None], (y - top)[..., None]
    weights = [(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right]
    warped = (corners(clips.frames[:, :-1].astype(np.float32), left, top) * weights).sum(0)
    return np.abs(warped - clips.frames[:, 1:]).max(-1), valid


def test_the_previous_frame_warped_by_motion_is_the_frame(clips):
    # The error of bilinear sampling at a texture's edge, a ramp one pixel wide, is at most a quarter of its
    # contrast along each axis. A texture darkens a channel by at most 0.4 x 255 = 102 and backgrounds by
    # less, so the largest error is 51, and 2 for rounding. Such edges are rare, so the mean error is that of
    # rounding.
    error, valid = warp_error(clips)
    assert valid.mean() > 0.75
    assert error[valid].max() <= 53
    assert error[valid].mean() < 1.0
    assert np.percentile(error[valid], 90) < 2.0

    opposite_error, opposite_valid = warp_error(clips, sign=-1)
    assert opposite_error[opposite_valid].mean() > 4 * error[valid].mean()


@pytest.mark.parametrize(
    ("fact", "table", "names"),
    [
        ("camera", sprites.CAMERAS, sprites.CAMERAS[1:5]),
        ("camera", sprites.CAMERAS, sprites.CAMERAS[5:]),
        ("turn", sprites.TURNS, ("turning",)),
        ("growth", sprites.GROWTHS, ("growing",)),
        ("growth", sprites.GROWTHS, ("shrinking",)),
        ("path", sprites.PATHS, ("curved",)),
    ],
)
def test_motion_is_correct_for_each_kind_of_movement(clips, fact, table, names):
    chosen = jax.tree.map(lambda leaf: leaf[of_main(clips, fact, table, *names)], clips)
    surface = (chosen.ids == (0 if fact == "camera" else 1))[:, 1:]

    def mean_error(sign: int) -> float:
        error, valid = warp_error(chosen, sign)
        assert (valid & surface).sum() > 1000
        return error[valid & surface].mean()

    # The error is that of sampling at texture edges with a contrast of up to 102; its mean is a twentieth of
    # that.
    assert mean_error(+1) < 5
    assert mean_error(-1) > 2 * mean_error(+1)


def test_the_first_frame_has_zero_motion(clips):
    assert not clips.motion[:, 0].any()
    assert clips.motion[:, 1:].any()


def test_the_motion_of_the_main_object_is_that_of_its_track(clips):
    rigid = ~of_main(clips, "turn", sprites.TURNS, "turning")
    rigid &= of_main(clips, "growth", sprites.GROWTHS, "steady") & (clips.facts.camera < 5)
    steps = np.diff(clips.track, axis=1)
    for clip in np.flatnonzero(rigid):
        for frame in range(1, COUNT):
            seen = clips.motion[clip, frame][clips.mask[clip, frame, ..., 0]]
            # float32 at positions of up to 64
            np.testing.assert_allclose(seen, np.broadcast_to(steps[clip, frame - 1], seen.shape), atol=1e-4)


def test_the_background_moves_opposite_to_the_camera(clips):
    background = (clips.ids == 0)[..., None]
    total = (clips.motion * background)[:, 1:].sum((1, 2, 3))
    x, y = (total / background[:, 1:].sum((1, 2, 3))).T
    for name, along in [("pan left", x), ("pan right", -x), ("pan up", y), ("pan down", -y)]:
        assert (along[of_main(clips, "camera", sprites.CAMERAS, name)] > 0.3).all()

    static = of_main(clips, "camera", sprites.CAMERAS, "static")
    assert not (clips.motion * background)[static].any()

    from_centre = np.moveaxis(np.mgrid[:SIZE, :SIZE][::-1], 0, -1) - (SIZE - 1) / 2
    outward = (clips.motion * background * from_centre).sum((1, 2, 3, 4))
    assert (outward[of_main(clips, "camera", sprites.CAMERAS, "zoom in")] > 0).all()
    assert (outward[of_main(clips, "camera", sprites.CAMERAS, "zoom out")] < 0).all()


def test_classified_colours_are_those_of_the_facts(clips):
    named = np.asarray(sprites.colour_ids(jnp.asarray(clips.frames) / 255))
    inside = clips.outline[..., 0] == 0  # blended pixels are within 1 of an edge
    truth = np.pad(clips.facts.colour, ((0, 0), (1, 0)), constant_values=sprites.NO_COLOUR)
    expected = np.take_along_axis(truth, clips.ids.reshape(CLIPS, -1).astype(int), 1).reshape(clips.ids.shape)
    assert set(np.unique(clips.ids[inside])) == {0, 1, 2, 3}
    assert (named[inside] == expected[inside]).all()


def test_the_track_has_the_named_direction_and_a_speed_within_bounds(clips):
    displacement = clips.track[:, -1] - clips.track[:, 0]
    named = clips.facts.direction[:, 0] * np.pi / 4
    difference = np.angle(np.exp(1j * (np.arctan2(displacement[:, 1], displacement[:, 0]) - named)))
    # Nearer to this direction than to any other, for every motion of the camera.
    assert np.abs(difference).max() < np.pi / 8
    speed = np.linalg.norm(np.diff(clips.track, axis=1), axis=-1)
    assert speed.min() > 0.39
    assert speed.max() < 2.51
    assert (clips.track > 0).all()
    assert (clips.track < SIZE - 1).all()


def test_the_track_is_the_centroid_of_the_mask(clips):
    whole = of_main(clips, "shape", sprites.SHAPES, "circle", "square", "cross", "ring") & (
        clips.facts.count == 1
    )
    rows, columns = np.mgrid[:SIZE, :SIZE]
    checked = 0
    for clip in np.flatnonzero(whole):
        for mask, centre in zip(clips.mask[clip, ..., 0], clips.track[clip], strict=True):
            if not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()):
                assert abs(columns[mask].mean() - centre[0]) < 0.5  # an upright edge is between two pixels
                assert abs(rows[mask].mean() - centre[1]) < 0.5
                checked += 1
    assert checked > 50


def test_the_nearest_object_is_visible(clips, scenes):
    def only_main(scene: sprites.Scene):
        return sprites.render(scene._replace(facts=scene.facts._replace(count=jnp.array(1)))).mask

    whole = jax.device_get(jax.jit(jax.vmap(only_main))(scenes))[..., 0]
    assert not (clips.mask[..., 0] & ~whole).any()
    occluded = whole & ~clips.mask[..., 0]
    assert occluded.sum() > 1000
    nearness = scenes.objects.nearness[:, 0][:, None, None, None]
    assert (clips.depth[..., 0] > nearness)[occluded].all()
    assert (clips.ids[occluded] > 1).all()


def test_depth_is_the_nearness_of_the_visible_surface(clips, scenes):
    depth = clips.depth[..., 0]
    assert depth.min() > 0.05
    assert depth.max() <= 1.0
    assert depth[clips.ids == 0].max() < 0.35
    for index in range(sprites.MAX_OBJECTS):
        clip, *pixel = np.nonzero(clips.ids == index + 1)
        np.testing.assert_allclose(depth[clip, *pixel], scenes.objects.nearness[clip, index], atol=1e-6)
        assert depth[clips.ids == index + 1].min() > 0.4
    background = np.where(clips.ids == 0, depth, np.nan)
    steps = np.abs(np.diff(background, axis=-1))
    assert np.nanmax(steps) < 0.01  # smooth
    assert (
        np.nanmax(background, (1, 2, 3)) - np.nanmin(background, (1, 2, 3)) > 0.05
    ).all()  # but not constant


def test_masks_agree_with_the_ids(clips):
    assert ((clips.ids == 1) == clips.mask[..., 0]).all()
    assert (clips.ids.max((1, 2, 3)) <= clips.facts.count).all()
    area = clips.mask.mean((2, 3, 4))
    assert area.mean() > 0.05
    assert (area.max(1) > 0.02).all()  # every main object is visible in some frame


def test_outlines_are_on_the_boundaries_of_masks(clips):
    outline, ids = clips.outline[..., 0], clips.ids
    assert outline.min() >= 0
    assert 0.99 < outline.max() <= 1
    # Of two neighbouring pixels with an edge between them, one is within half a pixel of the edge, where a
    # line is 0.5.
    for one, other in [
        ((..., slice(1, None)), (..., slice(-1))),
        ((..., slice(1, None), slice(None)), (..., slice(-1), slice(None))),
    ]:
        boundary = ids[one] != ids[other]
        assert np.maximum(outline[one], outline[other])[boundary].min() > 0.49
    # Where a line is bright an edge is within 2 pixels: half a pixel, but more at the sharp tips of stars.
    # Pixels at the frame's border are excluded, since the edge may be outside.
    near = [
        np.roll(ids, (down, right), (2, 3)) != ids
        for down in range(-2, 3)
        for right in range(-2, 3)
        if (down, right) != (0, 0)
    ]
    bright = (outline > 0.5)[:, :, 2:-2, 2:-2]
    assert bright.sum() > 1000
    assert np.any(near, axis=0)[:, :, 2:-2, 2:-2][bright].all()


def test_a_line_is_one_pixel_wide():
    for distance in np.linspace(-0.5, 0.5, 11):
        assert float(draw.line(distance + jnp.arange(-4.0, 5.0)).sum()) == pytest.approx(1)


@pytest.mark.parametrize("shape", range(len(sprites.SHAPES)))
def test_shapes_have_about_the_same_size(shape):
    x, y = jnp.meshgrid(*2 * [jnp.linspace(-1.6, 1.6, 129)])
    inside = np.asarray(draw.shape_distance(jnp.array(shape), x, y) < 0)
    radius = np.hypot(x, y)[inside].max()
    assert 0.95 < radius < 1.45
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    assert not border.any()  # the whole shape is inside the grid


def test_style_has_the_colours_of_the_background(clips):
    light, dark = clips.style.rgb[:, 0], clips.style.rgb[:, 1]
    seen = (clips.ids == 0) & (clips.outline[..., 0] == 0)
    for clip in range(CLIPS):
        pixels = clips.frames[clip][seen[clip]] / 255
        assert (pixels <= light[clip] + 0.003).all()  # half a grey level
        assert (pixels >= dark[clip] - 0.003).all()
    assert (clips.style.palette == clips.facts.palette).all()
