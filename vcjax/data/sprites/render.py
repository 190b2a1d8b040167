"""From a scene to its pictures and their exact truth: motion, depth, masks, outlines, style and track.

Every surface (three objects and the background) lies on the screen by a similarity for each frame; all that there is
to know about a pixel follows from the inverse of those of this frame and the one before.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Float32, Int, UInt8

from vcjax.data.sprites import draw
from vcjax.data.sprites.colours import DARK_TONE
from vcjax.data.sprites.scene import (
    BACKGROUNDS,
    LATTICE,
    MAX_OBJECTS,
    REFERENCE_SIZE,
    Background,
    Facts,
    Scene,
    arc_offset,
)
from vcjax.errors import BadInput

FRAMES, SIZE = 16, 64
SMALLEST_SIZE = 16  # below it a small shape has fewer than five pixels and is none
_NEARNESS_AT_ORIGIN = 0.2  # of the background
_GRADIENT_REACH = 52.0  # pixels from the origin to where a gradient ends: the farthest that a camera can see


class Style(NamedTuple):
    """How the background looks: indices in BACKGROUNDS and PALETTES, and its two colours, RGB in [0, 1]."""

    background: Int[Array, ""]
    palette: Int[Array, ""]
    rgb: Float32[Array, "2 3"]


class Sprites(NamedTuple):
    """A clip and all that is true of it; in a batch every field has the batch axis in front.

    Attributes:
        frames: RGB in [0, 255].
        motion: (x right, y down) in pixels a frame: where the surface seen at a pixel is, minus where that point of
            it was one frame before. Zero in the first frame.
        depth: nearness in [0, 1], larger is nearer; the background stays below 0.35, objects above 0.4.
        mask: the visible pixels of the main object.
        ids: what is seen at each pixel: 0 background, 1 the main object, 2 and 3 the others.
        outline: visible borders of objects as lines one pixel wide, 1 on 0.
        style: how the background looks.
        track: centre of the main object, (x, y) in pixels; (0, 0) is the centre of the top left pixel.
        facts: what can be said of the clip.
    """

    frames: UInt8[Array, "F H W 3"]
    motion: Float32[Array, "F H W 2"]
    depth: Float32[Array, "F H W 1"]
    mask: Bool[Array, "F H W 1"]
    ids: UInt8[Array, "F H W"]
    outline: Float32[Array, "F H W 1"]
    style: Style
    track: Float32[Array, "F 2"]
    facts: Facts


def render(
    scene: Scene, *, frames: int = FRAMES, size: int = SIZE, only: Int[Array, "K"] | None = None
) -> Sprites:
    """Draw a scene and all of its truth; pure, to be used under `jit` and `vmap`: what is not used is not computed.

    ```python
    motion = jax.jit(lambda key: render(sample_scene(key, heldout=False)).motion)(jax.random.key(0))
    ```

    Args:
        scene: one scene, no batch.
        frames: how many, spread evenly over the scene's time; a single one is its beginning.
        size: height and width in pixels, to which the scene is scaled.
        only: numbers of the frames that are drawn, from 0 to `frames` - 1; all where None.

    Raises:
        BadInput: no frames, or a size below `SMALLEST_SIZE`.
    """
    if frames < 1:
        raise BadInput(f"frames of a sprite clip must be at least 1, not {frames}")
    if size < SMALLEST_SIZE:
        raise BadInput(f"size of a sprite clip must be at least {SMALLEST_SIZE} pixels, not {size}")
    poses, world = _poses(scene, jnp.linspace(0.0, 1.0, frames), size)
    main = _picked(jax.tree.map(lambda leaf: leaf[0], poses), only)
    far_to_near = jnp.argsort(scene.objects.nearness)
    objects, poses = jax.tree.map(lambda leaf: leaf[far_to_near], (scene.objects, poses))
    motion = _motion(world, size, only)
    world = _picked(world, only)

    # What is seen so far at each pixel, from the background forward.
    rgb = _background_rgb(scene.background, scene.facts, world, size)
    depth = _background_depth(scene.background, world, size)
    ids = jnp.zeros(depth.shape, jnp.uint8)
    outline = jnp.zeros(depth.shape)
    for index in range(MAX_OBJECTS):
        every = jax.tree.map(lambda leaf, index=index: leaf[index], poses)
        pose = _picked(every, only)
        distance, tone = _object(scene.facts, far_to_near[index], pose, size)
        cover, inside = draw.coverage(distance), distance < 0
        rgb = [behind + cover * (tone * objects.rgb[index, c] - behind) for c, behind in enumerate(rgb)]
        depth = jnp.where(inside, objects.nearness[index], depth)
        motion = jax.tree.map(partial(jnp.where, inside), _motion(every, size, only), motion)
        ids = jnp.where(inside, far_to_near[index].astype(jnp.uint8) + 1, ids)
        outline = jnp.maximum(outline * (1 - cover), draw.line(distance))

    return Sprites(
        frames=_bytes(rgb),
        motion=jnp.stack(motion, -1),
        depth=depth[..., None],
        mask=(ids == 1)[..., None],
        ids=ids,
        outline=outline[..., None],
        style=Style(scene.facts.background, scene.facts.palette, scene.background.rgb),
        track=jnp.stack([main.x, main.y], -1),
        facts=scene.facts,
    )


def _bytes(rgb: list[Float[Array, "F H W"]]) -> UInt8[Array, "F H W 3"]:
    """Colours in [0, 1] as bytes. They are packed as words first: XLA's CPU compiler vectorises no joining of channels."""
    red, green, blue = (jnp.round(channel * 255).astype(jnp.int32) for channel in rgb)
    words = jax.lax.optimization_barrier(red | green << 8 | blue << 16)
    return jax.lax.bitcast_convert_type(words, jnp.uint8)[..., :3]


class _Pose(NamedTuple):
    """Where a surface lies in each frame: its own point (u, v) is seen at pixel (x + a u - b v, y + b u + a v)."""

    x: Float[Array, "*n F"]
    y: Float[Array, "*n F"]
    a: Float[Array, "*n F"]
    b: Float[Array, "*n F"]


def _poses(scene: Scene, time: Float[Array, "F"], size: int) -> tuple[_Pose, _Pose]:
    """The poses of the objects, which measure in radii, and of the world behind them, which measures in lengths."""
    objects = scene.objects
    from_middle = time - 0.5
    zoom = jnp.exp(scene.log_zoom * from_middle)
    camera = scene.pan * from_middle[:, None]

    each = jax.tree.map(lambda leaf: leaf[:, None], objects)  # object, frame
    offset = arc_offset(*jnp.broadcast_arrays(each.heading, each.way, each.arc, time))
    path = objects.middle[:, None] + offset
    # The main object's world path is such that it is seen on the path drawn for it, whatever the camera does: so
    # the direction that is said of it is the direction seen. The camera carries the others with the world.
    is_main = (jnp.arange(MAX_OBJECTS) == 0)[:, None, None]
    seen = jnp.where(is_main, path, zoom[:, None] * (path - camera))
    scale = each.radius * jnp.exp(each.log_growth * from_middle) * zoom
    angle = each.angle + each.spin * from_middle
    return (
        _pose(seen, scale, angle, size),
        _pose(-zoom[:, None] * camera, zoom, jnp.zeros_like(zoom), size),
    )


def _pose(
    centre: Float[Array, "*n F 2"], scale: Float[Array, "*n F"], angle: Float[Array, "*n F"], size: int
) -> _Pose:
    """From lengths around the frame's centre to pixels of a frame of this size, counted from its first pixel's centre."""
    unit = size / REFERENCE_SIZE
    x, y = jnp.moveaxis(unit * centre + (size - 1) / 2, -1, 0)
    return _Pose(x, y, unit * scale * jnp.cos(angle), unit * scale * jnp.sin(angle))


def _from_centre(pose: _Pose, size: int) -> tuple[Float[Array, "F 1 W"], Float[Array, "F H 1"]]:
    """How far each column and row of pixels is from where the surface's origin is seen."""
    pixel = jnp.arange(size, dtype=jnp.float32)
    return pixel - pose.x[:, None, None], pixel[:, None] - pose.y[:, None, None]


def _inverse(pose: _Pose) -> tuple[Float[Array, "F 1 1"], Float[Array, "F 1 1"]]:
    """The (a, b) with which (a x + b y, a y - b x) leads from the screen back to the surface."""
    square = pose.a**2 + pose.b**2
    return (pose.a / square)[:, None, None], (pose.b / square)[:, None, None]


def _own_coordinates(pose: _Pose, size: int) -> tuple[Float[Array, "F H W"], Float[Array, "F H W"]]:
    """The surface's own (u, v) at each pixel: the pose inverted."""
    x, y = _from_centre(pose, size)
    a, b = _inverse(pose)
    return a * x + b * y, a * y - b * x


def _picked(pose: _Pose, only: Int[Array, "K"] | None) -> _Pose:
    """Of these frames; of all where None."""
    return pose if only is None else jax.tree.map(lambda leaf: leaf[only], pose)


def _motion(
    pose: _Pose, size: int, only: Int[Array, "K"] | None
) -> tuple[Float[Array, "K H W"], Float[Array, "K H W"]]:
    """Pixel minus where its surface point was one frame before, which the first frame takes to be itself: zero.

    With p = c + A q and p' = c' + A' q this is p - p' = (c - c') + (A - A') A^-1 (p - c), A a complex number.
    """
    before = jax.tree.map(lambda leaf: jnp.concatenate([leaf[:1], leaf[:-1]]), pose)
    step = _picked(jax.tree.map(jnp.subtract, pose, before), only)
    step = jax.tree.map(lambda leaf: leaf[:, None, None], step)
    pose = _picked(pose, only)
    x, y = _from_centre(pose, size)
    a, b = _inverse(pose)
    real, imaginary = step.a * a + step.b * b, step.b * a - step.a * b
    return step.x + real * x - imaginary * y, step.y + imaginary * x + real * y


def _object(
    facts: Facts, index: Int[Array, ""], pose: _Pose, size: int
) -> tuple[Float[Array, "F H W"], Float[Array, "F H W"]]:
    """Signed distance in pixels to the edge of an object, infinite where it is absent, and how bright its colour is."""
    u, v = _own_coordinates(pose, size)
    radius = jnp.sqrt(pose.a**2 + pose.b**2)[:, None, None]
    distance = draw.shape_distance(facts.shape[index], u, v) * radius
    dark = draw.coverage(draw.texture_distance(facts.texture[index], u, v) * radius)
    return jnp.where(index < facts.count, distance, jnp.inf), 1 - (1 - DARK_TONE) * dark


def _background_rgb(
    background: Background, facts: Facts, world: _Pose, size: int
) -> list[Float[Array, "F H W"]]:
    """The red, green and blue of the background: its lighter tone where its texture is 1, the darker where it is 0."""
    u, v = _own_coordinates(world, size)
    cosine, sine = jnp.cos(background.angle), jnp.sin(background.angle)
    across, along = cosine * u + sine * v, cosine * v - sine * u
    period = 2 * background.cell
    period_in_pixels = period * world.a[:, None, None]
    columns = draw.stripe_distance(across / period + background.offset[0])
    rows = draw.stripe_distance(along / period + background.offset[1])
    textures = {
        "gradient": 0.5 + across / (2 * _GRADIENT_REACH),
        "checks": draw.coverage(draw.check_distance(columns, rows) * period_in_pixels),
        "stripes": draw.coverage(columns * period_in_pixels),
        "noise": _noise(background, u[:, :1], v[..., :1]),
    }
    mix = jnp.select(
        [facts.background == index for index in range(len(BACKGROUNDS))],
        [textures[name] for name in BACKGROUNDS],
    )
    light, dark = background.rgb
    return [dark[c] + mix * (light[c] - dark[c]) for c in range(3)]


def _noise(
    background: Background, u: Float[Array, "F 1 W"], v: Float[Array, "F H 1"]
) -> Float[Array, "F H W"]:
    """Value noise: control points joined smoothly. The camera does not roll, so rows and columns part."""

    def weights(position: Float[Array, "F side"]) -> Float[Array, "F side point"]:
        from_point = position[..., None] / background.cell - (jnp.arange(LATTICE) - (LATTICE - 1) / 2)
        near = jnp.clip(1 - jnp.abs(from_point), 0.0, 1.0)
        return near * near * (3 - 2 * near)  # smoothstep: two neighbours still add up to 1

    return jnp.einsum("fhr,rc,fwc->fhw", weights(v[..., 0]), background.lattice, weights(u[:, 0]))


def _background_depth(background: Background, world: _Pose, size: int) -> Float[Array, "F H W"]:
    """Nearness of the slanted plane behind everything."""
    u, v = _own_coordinates(world, size)
    return _NEARNESS_AT_ORIGIN + background.slope[0] * u + background.slope[1] * v
