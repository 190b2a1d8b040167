"""Scenes of the sprite world: facts and rendering parameters of a clip, sampled from a random key.

Lengths are in pixels of a 64x64 frame with the origin at its centre, x to the right and y down. Angles are in
radians, clockwise. A scene lasts one unit of time, whatever the number of rendered frames.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from vcjax.data.sprites.colours import COLOURS, OBJECT_RGB, PALETTE_RGB, PALETTES

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
TEXTURES = ("plain", "stripes", "dots", "checks")
SIZES = ("small", "medium", "large")
DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
PATHS = ("straight", "curved")
TURNS = ("steady", "turning")
GROWTHS = ("steady", "growing", "shrinking")
BACKGROUNDS = ("gradient", "checks", "stripes", "noise")
CAMERAS = ("static", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")

REFERENCE_SIZE = 64
MAX_OBJECTS = 3
WORDINGS = 1 << 16  # number of caption wordings that a scene can draw
# Control points of the noise per side: 11 of the smallest cells cover the 87 pixels that a camera can see.
LATTICE = 12

_DRAWS = 24  # upper bound of the random numbers used for a scene, and for each object
_STEPS = 15  # frame intervals in a scene of 16 frames; speeds are in pixels per such interval
_MAIN_SPEED = (0.4, 2.5)
_OTHER_SPEED = (-0.5, 1.8)  # negative values are clipped to 0: a static object
_RADIUS = ((9.5, 10.5), (12.5, 13.5), (15.5, 17.0))  # range for each of SIZES, at the middle of the scene
_ONE_OBJECT, _TWO_OBJECTS = 0.6, 0.3  # probabilities; otherwise three
_TEXTURED, _CURVED, _TURNING, _CHANGING_SIZE, _MOVING_CAMERA = 0.15, 0.4, 0.2, 0.2, 0.5  # probabilities
_ROUND = np.array([SHAPES.index("circle"), SHAPES.index("ring")])
_EIGHTH = np.pi / 4
_HEADING_SPREAD = 0.17  # largest angle to the named direction; another direction is nearer from 0.39 on
_ARC = (0.9, 1.9)  # change of heading along a curved path
_TILT, _SPIN = 0.26, (1.0, 2.6)  # largest tilt from upright; rotation of a turning object
_GROWTH = (1.3, 1.5)  # ratio of the sizes at the two ends of the scene
_GROWTH_SIGNS = (0.0, 1.0, -1.0)  # for each of GROWTHS
_LAYER_NEARNESS, _NEARNESS_SPREAD = (0.5, 0.7, 0.9), 0.05
_MARGIN = 0.7  # least distance of the main object's centre from the frame's border, in radii
# Positions of the other objects around the main one: angle to the direction of the centre, distance in sums
# of radii.
_BEARING, _DISTANCE = (0.3, 1.6), (0.8, 1.3)
_OTHERS_WITHIN = 24.0  # largest distance from the centre along each axis
_PAN = (5.0, 14.0)
_PAN_AXES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (0, 0))  # for each of CAMERAS
_ZOOM = (1.15, 1.3)
_ZOOM_SIGNS = (0, 0, 0, 0, 0, 1, -1)  # for each of CAMERAS
_CELL = (14.0, 22.0)
_BRIGHTNESS_JITTER = 0.04  # largest difference of a background's brightness from its palette
_SLOPE = 0.0025  # nearness per pixel; 0.13 over the 52 pixels that a camera can see from the origin


class Facts(NamedTuple):
    """Discrete facts of a clip, as indices into the tables above.

    Entry 0 of a per-object field is the main object.

    Attributes:
        count: number of objects, 1 to 3; entries of per-object fields from it on have no meaning.
        shape: shape of each object.
        colour: colour of each object; the objects of a clip all differ.
        texture: texture of each object.
        size: size of each object.
        direction: direction of motion of each object; the main one's in the frame, the others' in the world.
        path: whether each object moves straight or on a curve.
        turn: whether each object rotates.
        growth: whether each object scales.
        layer: depth order of the objects, 0 for the farthest and 2 for the nearest.
        background: texture of the background.
        palette: colours of the background.
        camera: motion of the camera.
        wording: number below `WORDINGS` that selects one of the true captions.
    """

    count: Int[Array, ""]
    shape: Int[Array, "object"]
    colour: Int[Array, "object"]
    texture: Int[Array, "object"]
    size: Int[Array, "object"]
    direction: Int[Array, "object"]
    path: Int[Array, "object"]
    turn: Int[Array, "object"]
    growth: Int[Array, "object"]
    layer: Int[Array, "object"]
    background: Int[Array, ""]
    palette: Int[Array, ""]
    camera: Int[Array, ""]
    wording: Int[Array, ""]


class Objects(NamedTuple):
    """Appearance and motion of each object.

    A path is a circular arc at constant speed, the main object's in the frame and the others' in the world.

    Attributes:
        present: whether the object exists.
        rgb: colour in [0, 1].
        nearness: depth in [0, 1], larger is nearer.
        radius: radius at the middle of the scene.
        log_growth: log of the ratio of the size at the end to that at the start.
        angle: orientation at the middle of the scene.
        spin: rotation over the scene.
        midpoint: midpoint of the path.
        heading: heading at the midpoint.
        path_length: length of the path.
        arc: change of heading along the path.
    """

    present: Bool[Array, "object"]
    rgb: Float[Array, "object 3"]
    nearness: Float[Array, "object"]
    radius: Float[Array, "object"]
    log_growth: Float[Array, "object"]
    angle: Float[Array, "object"]
    spin: Float[Array, "object"]
    midpoint: Float[Array, "object 2"]
    heading: Float[Array, "object"]
    path_length: Float[Array, "object"]
    arc: Float[Array, "object"]


class Background(NamedTuple):
    """The background plane: two tones mixed by a texture.

    Attributes:
        rgb: light and dark tone in [0, 1].
        cell: width of a stripe or check, and spacing of the noise's control points.
        angle: orientation of stripes, checks and gradient.
        offset: phase of stripes and checks, in periods of two cells.
        lattice: control points of the noise, in [0, 1].
        slope: increase of nearness per pixel along x and y.
    """

    rgb: Float[Array, "tone 3"]
    cell: Float[Array, ""]
    angle: Float[Array, ""]
    offset: Float[Array, "2"]
    lattice: Float[Array, "row column"]
    slope: Float[Array, "2"]


class Scene(NamedTuple):
    """A complete description of one clip: its facts and the parameters that it is rendered from.

    Attributes:
        facts: discrete facts.
        objects: appearance and motion of the objects.
        background: appearance of the background.
        pan: displacement of the camera over the scene; its position is 0 at the middle.
        log_zoom: log of the ratio of the magnification at the end to that at the start; it is 1 at the
            middle.
    """

    facts: Facts
    objects: Objects
    background: Background
    pan: Float[Array, "2"]
    log_zoom: Float[Array, ""]


def held_out_direction(shape: Int[Array, "*n"], colour: Int[Array, "*n"]) -> Int[Array, "*n"]:
    """Return the direction in which a main object of this shape and colour moves in the test split only.

    One combination in eight is held out. The held-out ones include every shape, colour and direction, and
    every pair of them occurs in the other splits.
    """
    return -(shape + colour) % len(DIRECTIONS)


def arc_offset(
    heading: Float[Array, "*n"], length: Float[Array, "*n"], arc: Float[Array, "*n"], time: Float[Array, "*n"]
) -> Float[Array, "*n 2"]:
    """Return the offset (x, y) from a path's midpoint at a time.

    The path is a circular arc, or a line if `arc` is 0.

    Args:
        heading: heading at the midpoint.
        length: length of the path.
        arc: change of heading along the path.
        time: time in [0, 1]; the midpoint is at 0.5.
    """
    from_middle = time - 0.5
    half_turn = arc * from_middle / 2
    # The chord from the midpoint: its bearing is the heading plus half the turn, its length is the arc length
    # times sinc.
    chord = length * from_middle * jnp.sinc(half_turn / np.pi)
    bearing = heading + half_turn
    return jnp.stack([chord * jnp.cos(bearing), chord * jnp.sin(bearing)], -1)


def sample_scene(key: PRNGKeyArray, *, heldout: bool) -> Scene:
    """Sample one scene; a pure function for use under `jit` and `vmap`.

    ```python
    scene = sample_scene(jax.random.key(0), heldout=False)
    ```

    Args:
        key: a threefry key.
        heldout: whether the main object's (shape, colour, direction) is a held-out combination; otherwise it
            never is.
    """
    # A single draw: each further call of the generator would add half a second of compilation.
    numbers = jax.random.uniform(key, (_DRAWS + _DRAWS * MAX_OBJECTS + LATTICE**2,))
    of_scene, of_objects, lattice = jnp.split(numbers, [_DRAWS, _DRAWS + _DRAWS * MAX_OBJECTS])
    one, each = _Dice(of_scene), _Dice(of_objects.reshape(_DRAWS, MAX_OBJECTS))

    count_draw = one.number()
    shape, colour = one.pick(len(SHAPES)), one.pick(len(COLOURS))
    beyond = 0 if heldout else 1 + one.pick(len(DIRECTIONS) - 1)  # steps from the held-out direction
    direction = (held_out_direction(shape, colour) + beyond) % len(DIRECTIONS)
    # The objects of a clip have different colours, so that they can be segmented by colour.
    second, third = one.pick(len(COLOURS) - 1), one.pick(len(COLOURS) - 2)
    colours_beyond = jnp.stack([jnp.zeros_like(second), 1 + second, 1 + third + (third >= second)])
    shapes = each.pick(len(SHAPES)).at[0].set(shape)
    textures = each.chance(_TEXTURED) * (1 + each.pick(len(TEXTURES) - 1))
    rotation_invariant = jnp.isin(shapes, _ROUND) & (textures == TEXTURES.index("plain"))
    facts = Facts(
        count=1 + (count_draw > _ONE_OBJECT).astype(jnp.int32) + (count_draw > _ONE_OBJECT + _TWO_OBJECTS),
        shape=shapes,
        colour=(colour + colours_beyond) % len(COLOURS),
        texture=textures,
        size=each.pick(len(SIZES)),
        direction=each.pick(len(DIRECTIONS)).at[0].set(direction),
        path=each.chance(_CURVED).astype(jnp.int32),
        turn=(each.chance(_TURNING) & ~rotation_invariant).astype(jnp.int32),
        growth=each.chance(_CHANGING_SIZE) * (1 + each.pick(len(GROWTHS) - 1)),
        layer=jnp.argsort(each.number()),
        background=one.pick(len(BACKGROUNDS)),
        palette=one.pick(len(PALETTES)),
        camera=one.chance(_MOVING_CAMERA) * (1 + one.pick(len(CAMERAS) - 1)),
        wording=one.pick(WORDINGS),
    )
    return Scene(
        facts=facts,
        objects=_sample_objects(facts, each),
        background=_sample_background(facts, one, lattice.reshape(LATTICE, LATTICE)),
        pan=one.between(*_PAN) * jnp.array(_PAN_AXES, jnp.float32)[facts.camera],
        log_zoom=jnp.log(one.between(*_ZOOM)) * jnp.array(_ZOOM_SIGNS, jnp.float32)[facts.camera],
    )


def _sample_objects(facts: Facts, each: "_Dice") -> Objects:
    main = jnp.arange(MAX_OBJECTS) == 0
    low, high = jnp.array(_RADIUS, jnp.float32)[facts.size].T
    radius = low + each.number() * (high - low)
    heading = facts.direction * _EIGHTH + each.either(0.0, _HEADING_SPREAD)
    speed = jnp.where(main, each.between(*_MAIN_SPEED), each.between(*_OTHER_SPEED))
    path_length = jnp.maximum(speed, 0.0) * _STEPS
    arc = facts.path * each.either(*_ARC)
    return Objects(
        present=jnp.arange(MAX_OBJECTS) < facts.count,
        rgb=jnp.array(list(OBJECT_RGB.values()), jnp.float32)[facts.colour],
        nearness=jnp.array(_LAYER_NEARNESS)[facts.layer] + each.either(0.0, _NEARNESS_SPREAD),
        radius=radius,
        log_growth=jnp.array(_GROWTH_SIGNS)[facts.growth] * jnp.log(each.between(*_GROWTH)),
        angle=each.either(0.0, _TILT),
        spin=facts.turn * each.either(*_SPIN),
        midpoint=_sample_midpoints(radius, heading[0], path_length[0], arc[0], each),
        heading=heading,
        path_length=path_length,
        arc=arc,
    )


def _sample_midpoints(
    radius: Float[Array, "object"],
    heading: Float[Array, ""],
    path_length: Float[Array, ""],
    arc: Float[Array, ""],
    each: "_Dice",
) -> Float[Array, "object 2"]:
    """Sample the main path inside the frame, and the others beside its midpoint, towards the centre."""
    across, down = each.number()[0], each.number()[0]
    times = jnp.linspace(0.0, 1.0, _STEPS + 1)
    path = jax.vmap(arc_offset, (None, None, None, 0))(heading, path_length, arc, times)
    room = REFERENCE_SIZE / 2 - _MARGIN * radius[0]
    first, last = -room - path.min(0), room - path.max(0)
    main = first + jnp.stack([across, down]) * (last - first)

    to_centre = jnp.arctan2(-main[1], -main[0])
    bearing = to_centre + jnp.array([0.0, 1.0, -1.0]) * each.between(*_BEARING)
    distance = (radius[0] + radius) * each.between(*_DISTANCE)
    others = main + distance[:, None] * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)], -1)
    return jnp.clip(others, -_OTHERS_WITHIN, _OTHERS_WITHIN).at[0].set(main)


def _sample_background(facts: Facts, one: "_Dice", lattice: Float[Array, "row column"]) -> Background:
    slope_direction = one.angle()
    return Background(
        rgb=jnp.array(list(PALETTE_RGB.values()), jnp.float32)[facts.palette]
        + one.either(0.0, _BRIGHTNESS_JITTER),
        cell=one.between(*_CELL),
        angle=one.angle(),
        offset=jnp.stack([one.number(), one.number()]),
        lattice=lattice,
        slope=_SLOPE * jnp.stack([jnp.cos(slope_direction), jnp.sin(slope_direction)]),
    )


class _Dice:
    """Hands out independent random numbers, uniform in [0, 1); each is used once."""

    def __init__(self, numbers: Float[Array, "draw *n"]):
        self._numbers = iter(numbers)

    def number(self) -> Float[Array, "*n"]:
        return next(self._numbers)

    def pick(self, count: int) -> Int[Array, "*n"]:
        return (self.number() * count).astype(jnp.int32)

    def chance(self, probability: float) -> Bool[Array, "*n"]:
        return self.number() < probability

    def between(self, low: float, high: float) -> Float[Array, "*n"]:
        return low + self.number() * (high - low)

    def either(self, low: float, high: float) -> Float[Array, "*n"]:
        """Return a number of random sign with magnitude between low and high."""
        signed = 2 * self.number() - 1
        return jnp.sign(signed) * (low + jnp.abs(signed) * (high - low))

    def angle(self) -> Float[Array, "*n"]:
        return self.number() * (2 * np.pi)
