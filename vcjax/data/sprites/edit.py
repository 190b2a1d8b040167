"""Scenes changed on purpose: clips that never were, with their whole truth, to see which condition a video obeys.

Every function takes one scene and returns another; pure, to be used under `jit` and `vmap`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vcjax.data.sprites.colours import OBJECT_RGB, PALETTE_RGB
from vcjax.data.sprites.scene import DIRECTIONS, REFERENCE_SIZE, Scene, arc_offset

TURNED_BY = (2, 3, 4, 5, 6)  # eighths of a full turn: at least a quarter away from the old direction
REPAINTED_BY = 3  # places in the tables of colours and palettes
STROKE = (
    14.0,
    26.0,
)  # shortest and longest way of a stroked object, in pixels of a frame of 64: 1 to 1.7 a frame
_EIGHTH = 2 * np.pi / len(DIRECTIONS)
_TIMES = np.linspace(0.0, 1.0, 16, dtype=np.float32)


def redirected(scene: Scene) -> Scene:
    """The main object goes elsewhere from where it began: of directions a quarter or more away, that which stays most in
    the frame. The first frame is the same.
    """
    facts, objects = scene.facts, scene.objects
    heading, way, arc = objects.heading[0], objects.way[0], objects.arc[0]
    begin = objects.middle[0] + arc_offset(heading, way, arc, jnp.zeros(()))

    def path(eighths: Int[Array, ""]) -> Float[Array, "16 2"]:
        offsets = jax.vmap(arc_offset, (None, None, None, 0))(
            heading + eighths * _EIGHTH, way, arc, jnp.asarray(_TIMES)
        )
        return begin + offsets - offsets[0]

    eighths = jnp.array(TURNED_BY)
    farthest = jax.vmap(lambda n: jnp.abs(path(n)).max())(eighths)  # from the frame's centre
    turn = eighths[farthest.argmin()]
    new_heading = heading + turn * _EIGHTH
    middle = begin - arc_offset(new_heading, way, arc, jnp.zeros(()))
    return scene._replace(
        facts=facts._replace(
            direction=facts.direction.at[0].set((facts.direction[0] + turn) % len(DIRECTIONS))
        ),
        objects=objects._replace(
            heading=objects.heading.at[0].set(new_heading), middle=objects.middle.at[0].set(middle)
        ),
    )


def repainted(scene: Scene) -> Scene:
    """The main object in another colour, which no other object has, and the background in another palette."""
    facts, objects = scene.facts, scene.objects
    others = jnp.where(objects.present, facts.colour, -1)[1:]
    choices = (facts.colour[0] + REPAINTED_BY + jnp.arange(len(others) + 1)) % len(OBJECT_RGB)
    colour = choices[jnp.argmax(~jnp.isin(choices, others))]
    palette = (facts.palette + REPAINTED_BY) % len(PALETTE_RGB)
    tones = jnp.array(list(PALETTE_RGB.values()), jnp.float32)
    rgb = jnp.array(list(OBJECT_RGB.values()), jnp.float32)[colour]
    return scene._replace(
        facts=facts._replace(colour=facts.colour.at[0].set(colour), palette=palette),
        objects=objects._replace(rgb=objects.rgb.at[0].set(rgb)),
        background=scene.background._replace(
            rgb=jnp.clip(scene.background.rgb + tones[palette] - tones[facts.palette], 0, 1)
        ),
    )


def stroked(scene: Scene, direction: Int[Array, ""]) -> Scene:
    """The main object alone moves, and straight: along a line through the frame's middle in one of `DIRECTIONS`.

    It neither turns nor grows, and camera and other objects rest: what a single drawn stroke says.
    """
    facts, objects = scene.facts, scene.objects
    way = jnp.clip(objects.way[0], *(length * REFERENCE_SIZE / 64 for length in STROKE))
    main = jnp.arange(len(objects.way)) == 0
    rest = jnp.zeros_like(objects.way)
    return scene._replace(
        facts=facts._replace(
            direction=facts.direction.at[0].set(direction),
            **{name: jnp.zeros_like(getattr(facts, name)) for name in ("path", "turn", "growth", "camera")},
        ),
        objects=objects._replace(
            heading=jnp.where(main, direction * _EIGHTH, objects.heading),
            way=jnp.where(main, way, rest),
            middle=jnp.where(main[:, None], 0.0, objects.middle),
            **dict.fromkeys(("log_growth", "spin", "arc"), rest),
        ),
        pan=jnp.zeros_like(scene.pan),
        log_zoom=jnp.zeros_like(scene.log_zoom),
    )
