"""What happens in a clip of the sprite world: the names of its facts, and how one scene is drawn from a key.

Lengths are in pixels of a frame of 64x64 with the origin in its centre, x to the right and y down; angles in
radians, clockwise as seen. A scene lasts one unit of time, however many frames are taken of it.
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
CAMERAS = ("still", "pan left", "pan right", "pan up", "pan down", "zoom in", "zoom out")

REFERENCE_SIZE = 64
MAX_OBJECTS = 3
WORDINGS = 1 << 16  # a scene draws one of so many wordings for its caption
LATTICE = (
    12  # control points of the noise a side: 11 of the finest cells cover the 87 pixels a camera can see
)

_DRAWS = 24  # numbers enough for a scene, and for each object
_STEPS = 15  # a scene of 16 frames has 15 steps; speeds are in pixels a step of that
_MAIN_SPEED = (0.4, 2.5)
_OTHER_SPEED = (-0.5, 1.8)  # below zero an object stands still in the world
_RADIUS = ((9.5, 10.5), (12.5, 13.5), (15.5, 17.0))  # of each of SIZES, in the middle of the scene
_ONE_OBJECT, _TWO_OBJECTS = 0.6, 0.3  # chances; three in the rest
_TEXTURED, _CURVED, _TURNING, _CHANGING_SIZE, _MOVING_CAMERA = 0.15, 0.4, 0.2, 0.2, 0.5  # chances
_ROUND = np.array([SHAPES.index("circle"), SHAPES.index("ring")])
_EIGHTH = np.pi / 4
_HEADING_SPREAD = (
    0.17  # how far a path may be off its named direction: less than half of the 0.39 to the next one
)
_ARC = (0.9, 1.9)  # how far the heading turns along a curved path
_TILT, _SPIN = 0.26, (1.0, 2.6)  # how far an object is off upright, how far a turning one turns
_GROWTH, _GROWTH_SIGNS = (
    (1.3, 1.5),
    (0.0, 1.0, -1.0),
)  # size at one end over that at the other; for each of GROWTHS
_LAYER_NEARNESS, _NEARNESS_SPREAD = (0.5, 0.7, 0.9), 0.05
_VISIBLE = 0.7  # the main object's centre stays so many radii inside of the frame's border
_BESIDE, _APART = (
    (0.3, 1.6),
    (0.8, 1.3),
)  # where others are: angle off the way to the centre, gap in sums of radii
_OTHERS_WITHIN = 24.0  # of the centre, along each axis
_PAN, _PAN_AXES = (
    (5.0, 14.0),
    ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1), (0, 0), (0, 0)),
)  # for each of CAMERAS
_ZOOM, _ZOOM_SIGNS = (1.15, 1.3), (0, 0, 0, 0, 0, 1, -1)
_CELL = (14.0, 22.0)
_BRIGHTER = 0.04  # a background's light may be off its palette by so much
_SLOPE = 0.0025  # over the at most 52 pixels from the origin to what a camera can see: 0.13


class Facts(NamedTuple):
    """What can be said of a clip, as indices into the tables of names above; entry 0 of a list is the main object.

    Attributes:
        count: how many objects there are, 1 to 3; what is said of others beyond it means nothing.
        shape, colour, texture, size, path, turn, growth: of each object.
        direction: of each object; the main one's as seen in the frame, the others' in the world.
        layer: 0 for the farthest object, 2 for the nearest.
        background, palette: texture and colours behind the objects.
        camera: what the camera does.
        wording: below `WORDINGS`; chooses among the captions that are true of these facts.
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
    """How each object looks and moves. The main one's path is as seen in the frame, the others' are in the world.

    Attributes:
        present: whether the object is there at all.
        rgb: colour in [0, 1].
        nearness: depth in [0, 1], larger is nearer.
        radius: size in the middle of the scene.
        log_growth: log of the size at the end over that at the start.
        angle, spin: orientation in the middle of the scene, and how far it turns during it.
        middle, heading, way, arc: the path, a circular arc run through at constant speed: its middle, the heading
            there, its length, and how far the heading turns along it.
    """

    present: Bool[Array, "object"]
    rgb: Float[Array, "object 3"]
    nearness: Float[Array, "object"]
    radius: Float[Array, "object"]
    log_growth: Float[Array, "object"]
    angle: Float[Array, "object"]
    spin: Float[Array, "object"]
    middle: Float[Array, "object 2"]
    heading: Float[Array, "object"]
    way: Float[Array, "object"]
    arc: Float[Array, "object"]


class Background(NamedTuple):
    """The plane behind everything: two tones mixed by a texture.

    Attributes:
        rgb: its two colours in [0, 1].
        cell: width of a stripe or check, spacing of the noise's control points.
        angle, offset: how stripes, checks and gradient lie; the offset in pairs of cells.
        lattice: control points of the noise, in [0, 1].
        slope: how much nearer it is for each pixel along x and y.
    """

    rgb: Float[Array, "tone 3"]
    cell: Float[Array, ""]
    angle: Float[Array, ""]
    offset: Float[Array, "2"]
    lattice: Float[Array, "row column"]
    slope: Float[Array, "2"]


class Scene(NamedTuple):
    """All that decides one clip: the facts, and the numbers from which it is rendered.

    Attributes:
        pan: the way of the camera over the world, centred on the middle of the scene.
        log_zoom: log of its magnification at the end over that at the start, 0 in the middle.
    """

    facts: Facts
    objects: Objects
    background: Background
    pan: Float[Array, "2"]
    log_zoom: Float[Array, ""]


def held_out_direction(shape: Int[Array, "*n"], colour: Int[Array, "*n"]) -> Int[Array, "*n"]:
    """The one direction in which a main object of this shape and colour is seen in the test split alone.

    So one combination in eight is held out, every shape, colour and direction is among those, and every pair of
    them still occurs outside of the test split.
    """
    return -(shape + colour) % len(DIRECTIONS)


def arc_offset(
    heading: Float[Array, "*n"], way: Float[Array, "*n"], arc: Float[Array, "*n"], time: Float[Array, "*n"]
) -> Float[Array, "*n 2"]:
    """Where a path is at `time` in [0, 1], from its middle at 0.5: (x, y) on a circular arc, a line where arc is 0."""
    from_middle = time - 0.5
    half_turn = arc * from_middle / 2
    # The chord from the middle: its bearing is off the heading by half the turn, its length is the way times sinc.
    chord = way * from_middle * jnp.sinc(half_turn / np.pi)
    bearing = heading + half_turn
    return jnp.stack([chord * jnp.cos(bearing), chord * jnp.sin(bearing)], -1)


def sample_scene(key: PRNGKeyArray, *, heldout: bool) -> Scene:
    """Draw one scene; pure, to be used under `jit` and `vmap`.

    ```python
    scene = sample_scene(jax.random.key(0), heldout=False)
    ```

    Args:
        key: a threefry key; it decides everything.
        heldout: whether the main object's (shape, colour, direction) is a held-out combination, or never is one.
    """
    # One draw for all: each further call of the generator would cost half a second of compilation.
    numbers = jax.random.uniform(key, (_DRAWS + _DRAWS * MAX_OBJECTS + LATTICE**2,))
    of_scene, of_objects, lattice = jnp.split(numbers, [_DRAWS, _DRAWS + _DRAWS * MAX_OBJECTS])
    one, each = _Dice(of_scene), _Dice(of_objects.reshape(_DRAWS, MAX_OBJECTS))

    more = one.number()
    shape, colour = one.pick(len(SHAPES)), one.pick(len(COLOURS))
    beyond = 0 if heldout else 1 + one.pick(len(DIRECTIONS) - 1)  # steps away from the held-out direction
    direction = (held_out_direction(shape, colour) + beyond) % len(DIRECTIONS)
    # Colours within a clip differ, so that colour alone tells its objects apart.
    second, third = one.pick(len(COLOURS) - 1), one.pick(len(COLOURS) - 2)
    colours_beyond = jnp.stack([jnp.zeros_like(second), 1 + second, 1 + third + (third >= second)])
    shapes = each.pick(len(SHAPES)).at[0].set(shape)
    textures = each.chance(_TEXTURED) * (1 + each.pick(len(TEXTURES) - 1))
    looks_the_same_turned = jnp.isin(shapes, _ROUND) & (textures == TEXTURES.index("plain"))
    facts = Facts(
        count=1 + (more > _ONE_OBJECT).astype(jnp.int32) + (more > _ONE_OBJECT + _TWO_OBJECTS),
        shape=shapes,
        colour=(colour + colours_beyond) % len(COLOURS),
        texture=textures,
        size=each.pick(len(SIZES)),
        direction=each.pick(len(DIRECTIONS)).at[0].set(direction),
        path=each.chance(_CURVED).astype(jnp.int32),
        turn=(each.chance(_TURNING) & ~looks_the_same_turned).astype(jnp.int32),
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
    way = jnp.maximum(speed, 0.0) * _STEPS
    arc = facts.path * each.either(*_ARC)
    return Objects(
        present=jnp.arange(MAX_OBJECTS) < facts.count,
        rgb=jnp.array(list(OBJECT_RGB.values()), jnp.float32)[facts.colour],
        nearness=jnp.array(_LAYER_NEARNESS)[facts.layer] + each.either(0.0, _NEARNESS_SPREAD),
        radius=radius,
        log_growth=jnp.array(_GROWTH_SIGNS)[facts.growth] * jnp.log(each.between(*_GROWTH)),
        angle=each.either(0.0, _TILT),
        spin=facts.turn * each.either(*_SPIN),
        middle=_sample_middles(radius, heading[0], way[0], arc[0], each),
        heading=heading,
        way=way,
        arc=arc,
    )


def _sample_middles(
    radius: Float[Array, "object"],
    heading: Float[Array, ""],
    way: Float[Array, ""],
    arc: Float[Array, ""],
    each: "_Dice",
) -> Float[Array, "object 2"]:
    """The main path anywhere that keeps it in the frame; the others beside its middle, towards the frame's centre."""
    across, down = each.number()[0], each.number()[0]
    path = jax.vmap(arc_offset, (None, None, None, 0))(heading, way, arc, jnp.linspace(0.0, 1.0, _STEPS + 1))
    room = REFERENCE_SIZE / 2 - _VISIBLE * radius[0]
    first, last = -room - path.min(0), room - path.max(0)
    main = first + jnp.stack([across, down]) * (last - first)

    to_centre = jnp.arctan2(-main[1], -main[0])
    bearing = to_centre + jnp.array([0.0, 1.0, -1.0]) * each.between(*_BESIDE)
    gap = (radius[0] + radius) * each.between(*_APART)
    others = main + gap[:, None] * jnp.stack([jnp.cos(bearing), jnp.sin(bearing)], -1)
    return jnp.clip(others, -_OTHERS_WITHIN, _OTHERS_WITHIN).at[0].set(main)


def _sample_background(facts: Facts, one: "_Dice", lattice: Float[Array, "row column"]) -> Background:
    downhill = one.angle()
    return Background(
        rgb=jnp.array(list(PALETTE_RGB.values()), jnp.float32)[facts.palette] + one.either(0.0, _BRIGHTER),
        cell=one.between(*_CELL),
        angle=one.angle(),
        offset=jnp.stack([one.number(), one.number()]),
        lattice=lattice,
        slope=_SLOPE * jnp.stack([jnp.cos(downhill), jnp.sin(downhill)]),
    )


class _Dice:
    """Hands out independent numbers, uniform in [0, 1), one after the other; each is used once."""

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
        """A number whose size is between low and high, of either sign."""
        signed = 2 * self.number() - 1
        return jnp.sign(signed) * (low + jnp.abs(signed) * (high - low))

    def angle(self) -> Float[Array, "*n"]:
        return self.number() * (2 * np.pi)
