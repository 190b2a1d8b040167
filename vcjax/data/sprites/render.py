"""Renderer of the sprite world: frames with exact motion, depth, masks, outlines, style and track.

A similarity transform for each frame maps each surface (three objects and the background) to the screen. The
properties of a pixel follow from the inverses of the transforms of its frame and the previous frame.
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
SMALLEST_SIZE = 16  # at smaller sizes a small shape has fewer than five pixels
_NEARNESS_AT_ORIGIN = 0.2  # nearness of the background at its origin
# Pixels from the origin to the end of a gradient: the farthest point that a camera can see.
_GRADIENT_REACH = 52.0


class Style(NamedTuple):
    """Appearance of the background.

    Attributes:
        background: index in `BACKGROUNDS`.
        palette: index in `PALETTES`.
        rgb: its light and dark tone, RGB in [0, 1].
    """

    background: Int[Array, ""]
    palette: Int[Array, ""]
    rgb: Float32[Array, "2 3"]


class Sprites(NamedTuple):
    """A clip with its ground truth; in a batch every field has a leading batch axis.

    Attributes:
        frames: RGB in [0, 255].
        motion: displacement (x right, y down) of the surface at each pixel since the previous frame, in
            pixels. Zero in the first frame.
        depth: nearness in [0, 1], larger is nearer; the background stays below 0.35, objects above 0.4.
        mask: visible pixels of the main object.
        ids: surface visible at each pixel: 0 the background, 1 the main object, 2 and 3 the other objects.
        outline: visible edges of objects as lines one pixel wide, 1 on 0.
        style: appearance of the background.
        track: centre of the main object, (x, y) in pixels; (0, 0) is the centre of the top left pixel.
        facts: discrete facts of the clip.
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
    """Render a scene with its ground truth; a pure function for use under `jit` and `vmap`.

    Under `jit`, fields of the result that are not used are not computed.

    ```python
    motion = jax.jit(lambda key: render(sample_scene(key, heldout=False)).motion)(jax.random.key(0))
    ```

    Args:
        scene: one scene, without a batch axis.
        frames: number of frames, spaced evenly over the scene; a single frame is at its start.
        size: height and width in pixels; the scene is scaled to it.
        only: indices of the frames to render, from 0 to `frames` - 1; None for all.

    Raises:
        BadInput: frames is below 1, or size is below `SMALLEST_SIZE`.
    """
    if frames < 1:
        raise BadInput(f"frames of a sprite clip must be at least 1, not {frames}")
    if size < SMALLEST_SIZE:
        raise BadInput(f"size of a sprite clip must be at least {SMALLEST_SIZE} pixels, not {size}")
    poses, world = _poses(scene, jnp.linspace(0.0, 1.0, frames), size)
    main = _select_frames(jax.tree.map(lambda leaf: leaf[0], poses), only)
    far_to_near = jnp.argsort(scene.objects.nearness)
    objects, poses = jax.tree.map(lambda leaf: leaf[far_to_near], (scene.objects, poses))
    motion = _motion(world, size, only)
    world = _select_frames(world, only)

    # Composite from back to front, starting with the background.
    rgb = _background_rgb(scene.background, scene.facts, world, size)
    depth = _background_depth(scene.background, world, size)
    ids = jnp.zeros(depth.shape, jnp.uint8)
    outline = jnp.zeros(depth.shape)
    for index in range(MAX_OBJECTS):
        all_frames = jax.tree.map(lambda leaf, index=index: leaf[index], poses)
        pose = _select_frames(all_frames, only)
        distance, tone = _object(scene.facts, far_to_near[index], pose, size)
        cover, inside = draw.coverage(distance), distance < 0
        rgb = [behind + cover * (tone * objects.rgb[index, c] - behind) for c, behind in enumerate(rgb)]
        depth = jnp.where(inside, objects.nearness[index], depth)
        motion = jax.tree.map(partial(jnp.where, inside), _motion(all_frames, size, only), motion)
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
    """Convert colours in [0, 1] to bytes.

    Channels are packed into 32-bit words first, because XLA's CPU compiler does not vectorise the stacking of
    channels.
    """
    red, green, blue = (jnp.round(channel * 255).astype(jnp.int32) for channel in rgb)
    words = jax.lax.optimization_barrier(red | green << 8 | blue << 16)
    return jax.lax.bitcast_convert_type(words, jnp.uint8)[..., :3]


class _Pose(NamedTuple):
    """Similarity transform of a surface: its point (u, v) is at pixel (x + a u - b v, y + b u + a v)."""

    x: Float[Array, "*n F"]
    y: Float[Array, "*n F"]
    a: Float[Array, "*n F"]
    b: Float[Array, "*n F"]


def _poses(scene: Scene, time: Float[Array, "F"], size: int) -> tuple[_Pose, _Pose]:
    """Return the poses of the objects, in units of their radii, and of the background, in pixels."""
    objects = scene.objects
    from_middle = time - 0.5
    zoom = jnp.exp(scene.log_zoom * from_middle)
    camera = scene.pan * from_middle[:, None]

    each = jax.tree.map(lambda leaf: leaf[:, None], objects)  # object, frame
    offset = arc_offset(*jnp.broadcast_arrays(each.heading, each.path_length, each.arc, time))
    path = objects.midpoint[:, None] + offset
    # The main object's path is defined in the frame, so that the direction in the caption is the visible one
    # for any camera motion. The paths of the others are in the world and move with the camera.
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
    """Convert positions relative to the frame's centre to pixel coordinates of a frame of this size."""
    unit = size / REFERENCE_SIZE
    x, y = jnp.moveaxis(unit * centre + (size - 1) / 2, -1, 0)
    return _Pose(x, y, unit * scale * jnp.cos(angle), unit * scale * jnp.sin(angle))


def _from_centre(pose: _Pose, size: int) -> tuple[Float[Array, "F 1 W"], Float[Array, "F H 1"]]:
    """Return the offsets of each pixel column and row from the surface's origin on the screen."""
    pixel = jnp.arange(size, dtype=jnp.float32)
    return pixel - pose.x[:, None, None], pixel[:, None] - pose.y[:, None, None]


def _inverse(pose: _Pose) -> tuple[Float[Array, "F 1 1"], Float[Array, "F 1 1"]]:
    """Return (a, b) such that (a x + b y, a y - b x) maps the screen to the surface."""
    square = pose.a**2 + pose.b**2
    return (pose.a / square)[:, None, None], (pose.b / square)[:, None, None]


def _own_coordinates(pose: _Pose, size: int) -> tuple[Float[Array, "F H W"], Float[Array, "F H W"]]:
    """Return the surface coordinates (u, v) of each pixel, by the inverse of the pose."""
    x, y = _from_centre(pose, size)
    a, b = _inverse(pose)
    return a * x + b * y, a * y - b * x


def _select_frames(pose: _Pose, only: Int[Array, "K"] | None) -> _Pose:
    """Return the pose in the selected frames; None for all."""
    return pose if only is None else jax.tree.map(lambda leaf: leaf[only], pose)


def _motion(
    pose: _Pose, size: int, only: Int[Array, "K"] | None
) -> tuple[Float[Array, "K H W"], Float[Array, "K H W"]]:
    """Return the displacement of the surface at each pixel since the previous frame; zero in the first.

    With p = c + A q and p' = c' + A' q it is p - p' = (c - c') + (A - A') A^-1 (p - c), where A is a complex
    number.
    """
    previous = jax.tree.map(lambda leaf: jnp.concatenate([leaf[:1], leaf[:-1]]), pose)
    step = _select_frames(jax.tree.map(jnp.subtract, pose, previous), only)
    step = jax.tree.map(lambda leaf: leaf[:, None, None], step)
    pose = _select_frames(pose, only)
    x, y = _from_centre(pose, size)
    a, b = _inverse(pose)
    real, imaginary = step.a * a + step.b * b, step.b * a - step.a * b
    return step.x + real * x - imaginary * y, step.y + imaginary * x + real * y


def _object(
    facts: Facts, index: Int[Array, ""], pose: _Pose, size: int
) -> tuple[Float[Array, "F H W"], Float[Array, "F H W"]]:
    """Return the signed distance to an object's edge in pixels, infinite if absent, and its brightness."""
    u, v = _own_coordinates(pose, size)
    radius = jnp.sqrt(pose.a**2 + pose.b**2)[:, None, None]
    distance = draw.shape_distance(facts.shape[index], u, v) * radius
    dark = draw.coverage(draw.texture_distance(facts.texture[index], u, v) * radius)
    return jnp.where(index < facts.count, distance, jnp.inf), 1 - (1 - DARK_TONE) * dark


def _background_rgb(
    background: Background, facts: Facts, world: _Pose, size: int
) -> list[Float[Array, "F H W"]]:
    """Return the background: its light tone where the texture is 1, its dark tone where it is 0."""
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
    """Return value noise of the control points; it is separable because the camera does not roll."""

    def weights(position: Float[Array, "F side"]) -> Float[Array, "F side point"]:
        from_point = position[..., None] / background.cell - (jnp.arange(LATTICE) - (LATTICE - 1) / 2)
        near = jnp.clip(1 - jnp.abs(from_point), 0.0, 1.0)
        return near * near * (3 - 2 * near)  # smoothstep; the weights of two neighbours add up to 1

    return jnp.einsum("fhr,rc,fwc->fhw", weights(v[..., 0]), background.lattice, weights(u[:, 0]))


def _background_depth(background: Background, world: _Pose, size: int) -> Float[Array, "F H W"]:
    """Return the nearness of the background, a slanted plane."""
    u, v = _own_coordinates(world, size)
    return _NEARNESS_AT_ORIGIN + background.slope[0] * u + background.slope[1] * v
