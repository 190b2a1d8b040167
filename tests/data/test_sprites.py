"""The sprite world's truth is true: motion, depth, masks, outlines and tracks agree with the pixels and each other."""

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
    """Some clips of the training split, on the host."""
    return jax.device_get(sprites.batch("train", jnp.arange(CLIPS)))


@pytest.fixture(scope="module")
def scenes() -> sprites.Scene:
    """The scenes of `clips`."""
    return jax.device_get(jax.jit(jax.vmap(partial(sprites.scene, "train")))(jnp.arange(CLIPS)))


def of_main(clips: sprites.Sprites, fact: str, table: tuple[str, ...], *names: str) -> np.ndarray:
    """Which clips have one of these names as a fact of their main object, or of the whole; some must."""
    values = getattr(clips.facts, fact)
    values = values[:, 0] if values.ndim == 2 else values
    chosen = np.isin(values, [table.index(name) for name in names])
    assert chosen.any()
    return chosen


def corners(flat, x, y):
    """The four pixels around each position: [4, clip, frame, H, W, ...] from [clip, frame, H, W, ...]."""
    clip, frame = np.ogrid[: flat.shape[0], : flat.shape[1]]
    clip, frame = clip[..., None, None], frame[..., None, None]
    return np.stack([flat[clip, frame, y + down, x + right] for down in (0, 1) for right in (0, 1)])


def warp_error(clips: sprites.Sprites, sign: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """|frame t-1 moved by the motion of frame t - frame t|, worst channel; and where the two show the same surface.

    That leaves out what was hidden or outside of the frame, and the blended pixels within 1 of an object's edge.
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


def test_frame_before_warped_by_motion_is_the_frame(clips):
    # Bilinear sampling of a texture's edge, a ramp one pixel wide, is off by at most a quarter of its contrast along
    # each axis. A texture darkens a channel by at most 0.4 x 255 = 102, backgrounds less: 51 at the worst pixel, and
    # two for rounding. Such edges are few, so on the whole the error is of the order of rounding.
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
def test_motion_is_true_for_each_kind_of_movement(clips, fact, table, names):
    chosen = jax.tree.map(lambda leaf: leaf[of_main(clips, fact, table, *names)], clips)
    looked_at = (chosen.ids == (0 if fact == "camera" else 1))[:, 1:]

    def mean_error(sign: int) -> float:
        error, valid = warp_error(chosen, sign)
        assert (valid & looked_at).sum() > 1000
        return error[valid & looked_at].mean()

    # The error is that of sampling at the edges of textures, of contrast up to 102: a twentieth on the mean.
    assert mean_error(+1) < 5
    assert mean_error(-1) > 2 * mean_error(+1)


def test_first_frame_has_no_motion(clips):
    assert not clips.motion[:, 0].any()
    assert clips.motion[:, 1:].any()


def test_motion_of_the_main_object_is_that_of_its_track(clips):
    rigid = ~of_main(clips, "turn", sprites.TURNS, "turning")
    rigid &= of_main(clips, "growth", sprites.GROWTHS, "steady") & (clips.facts.camera < 5)
    steps = np.diff(clips.track, axis=1)
    for clip in np.flatnonzero(rigid):
        for frame in range(1, COUNT):
            seen = clips.motion[clip, frame][clips.mask[clip, frame, ..., 0]]
            # float32 at positions of up to 64
            np.testing.assert_allclose(seen, np.broadcast_to(steps[clip, frame - 1], seen.shape), atol=1e-4)


def test_background_moves_against_the_camera(clips):
    background = (clips.ids == 0)[..., None]
    total = (clips.motion * background)[:, 1:].sum((1, 2, 3))
    x, y = (total / background[:, 1:].sum((1, 2, 3))).T
    for name, along in [("pan left", x), ("pan right", -x), ("pan up", y), ("pan down", -y)]:
        assert (along[of_main(clips, "camera", sprites.CAMERAS, name)] > 0.3).all()

    still = of_main(clips, "camera", sprites.CAMERAS, "still")
    assert not (clips.motion * background)[still].any()

    from_centre = np.moveaxis(np.mgrid[:SIZE, :SIZE][::-1], 0, -1) - (SIZE - 1) / 2
    outward = (clips.motion * background * from_centre).sum((1, 2, 3, 4))
    assert (outward[of_main(clips, "camera", sprites.CAMERAS, "zoom in")] > 0).all()
    assert (outward[of_main(clips, "camera", sprites.CAMERAS, "zoom out")] < 0).all()


def test_colours_by_the_rule_are_those_of_the_facts(clips):
    named = np.asarray(sprites.colour_ids(jnp.asarray(clips.frames) / 255))
    inside = clips.outline[..., 0] == 0  # blended pixels lie within 1 of an edge
    truth = np.pad(clips.facts.colour, ((0, 0), (1, 0)), constant_values=sprites.NO_COLOUR)
    expected = np.take_along_axis(truth, clips.ids.reshape(CLIPS, -1).astype(int), 1).reshape(clips.ids.shape)
    assert set(np.unique(clips.ids[inside])) == {0, 1, 2, 3}
    assert (named[inside] == expected[inside]).all()


def test_track_goes_in_the_named_direction_at_a_learnable_speed(clips):
    way = clips.track[:, -1] - clips.track[:, 0]
    named = clips.facts.direction[:, 0] * np.pi / 4
    off = np.angle(np.exp(1j * (np.arctan2(way[:, 1], way[:, 0]) - named)))
    assert (
        np.abs(off).max() < np.pi / 8
    )  # nearer to this direction than to any other, whatever the camera does
    speed = np.linalg.norm(np.diff(clips.track, axis=1), axis=-1)
    assert speed.min() > 0.39
    assert speed.max() < 2.51
    assert (clips.track > 0).all()
    assert (clips.track < SIZE - 1).all()


def test_track_is_the_middle_of_the_mask(clips):
    whole = of_main(clips, "shape", sprites.SHAPES, "circle", "square", "cross", "ring") & (
        clips.facts.count == 1
    )
    rows, columns = np.mgrid[:SIZE, :SIZE]
    checked = 0
    for clip in np.flatnonzero(whole):
        for mask, centre in zip(clips.mask[clip, ..., 0], clips.track[clip], strict=True):
            if not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()):
                assert abs(columns[mask].mean() - centre[0]) < 0.5  # an upright edge falls between two pixels
                assert abs(rows[mask].mean() - centre[1]) < 0.5
                checked += 1
    assert checked > 50


def test_nearest_object_is_the_one_seen(clips, scenes):
    def alone(scene: sprites.Scene):
        return sprites.render(scene._replace(facts=scene.facts._replace(count=jnp.array(1)))).mask

    whole = jax.device_get(jax.jit(jax.vmap(alone))(scenes))[..., 0]
    assert not (clips.mask[..., 0] & ~whole).any()
    hidden = whole & ~clips.mask[..., 0]
    assert hidden.sum() > 1000
    nearness = scenes.objects.nearness[:, 0][:, None, None, None]
    assert (clips.depth[..., 0] > nearness)[hidden].all()
    assert (clips.ids[hidden] > 1).all()


def test_depth_is_the_nearness_of_what_is_seen(clips, scenes):
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
    assert (np.nanmax(background, (1, 2, 3)) - np.nanmin(background, (1, 2, 3)) > 0.05).all()  # and not flat


def test_masks_are_those_of_the_ids(clips):
    assert ((clips.ids == 1) == clips.mask[..., 0]).all()
    assert (clips.ids.max((1, 2, 3)) <= clips.facts.count).all()
    area = clips.mask.mean((2, 3, 4))
    assert area.mean() > 0.05
    assert (area.max(1) > 0.02).all()  # no main object stays out of sight


def test_outlines_lie_on_the_borders_of_masks(clips):
    outline, ids = clips.outline[..., 0], clips.ids
    assert outline.min() >= 0
    assert 0.99 < outline.max() <= 1
    # Of two neighbours with an edge between them one has its centre within half a pixel of it, where a line is 0.5.
    for one, other in [
        ((..., slice(1, None)), (..., slice(-1))),
        ((..., slice(1, None), slice(None)), (..., slice(-1), slice(None))),
    ]:
        border = ids[one] != ids[other]
        assert np.maximum(outline[one], outline[other])[border].min() > 0.49
    # Where a line is bright there is an edge within 2 pixels: half a pixel, more at the sharp tips of stars.
    # Not so beside the frame's border, since the edge may be beyond it.
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
def test_shapes_are_of_about_the_same_size(shape):
    x, y = jnp.meshgrid(*2 * [jnp.linspace(-1.6, 1.6, 129)])
    inside = np.asarray(draw.shape_distance(jnp.array(shape), x, y) < 0)
    radius = np.hypot(x, y)[inside].max()
    assert 0.95 < radius < 1.45
    border = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]])
    assert not border.any()  # the whole of it was seen


def test_style_is_the_backgrounds(clips):
    light, dark = clips.style.rgb[:, 0], clips.style.rgb[:, 1]
    seen = (clips.ids == 0) & (clips.outline[..., 0] == 0)
    for clip in range(CLIPS):
        pixels = clips.frames[clip][seen[clip]] / 255
        assert (pixels <= light[clip] + 0.003).all()  # half a grey level
        assert (pixels >= dark[clip] - 0.003).all()
    assert (clips.style.palette == clips.facts.palette).all()
