"""Edits of scenes for counterfactual evaluation: each changes one property of a scene.

Every function maps a scene to a scene and is pure, for use under `jit` and `vmap`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from vcjax.data.sprites.colours import OBJECT_RGB, PALETTE_RGB
from vcjax.data.sprites.scene import DIRECTIONS, REFERENCE_SIZE, Scene, arc_offset

REDIRECTION_EIGHTHS = (
    2,
    3,
    4,
    5,
    6,
)  # eighths of a full turn: at least 90 degrees from the original direction
REPAINT_OFFSET = 3  # offset of the indices of colour and palette
STROKE_LENGTH = (14.0, 26.0)  # bounds of a stroke, in pixels of a 64x64 frame: 1 to 1.7 pixels per frame
_EIGHTH = 2 * np.pi / len(DIRECTIONS)
_TIMES = np.linspace(0.0, 1.0, 16, dtype=np.float32)


def redirected(scene: Scene) -> Scene:
    """Change the main object's direction by at least 90 degrees and keep the first frame.

    Of the possible directions it takes the one whose path stays nearest to the frame's centre.
    """
    facts, objects = scene.facts, scene.objects
    heading, length, arc = objects.heading[0], objects.path_length[0], objects.arc[0]
    begin = objects.midpoint[0] + arc_offset(heading, length, arc, jnp.zeros(()))

    def path(eighths: Int[Array, ""]) -> Float[Array, "16 2"]:
        offsets = jax.vmap(arc_offset, (None, None, None, 0))(
            heading + eighths * _EIGHTH, length, arc, jnp.asarray(_TIMES)
        )
        return begin + offsets - offsets[0]

    eighths = jnp.array(REDIRECTION_EIGHTHS)
    max_distance = jax.vmap(lambda n: jnp.abs(path(n)).max())(eighths)  # from the frame's centre
    turn = eighths[max_distance.argmin()]
    new_heading = heading + turn * _EIGHTH
    midpoint = begin - arc_offset(new_heading, length, arc, jnp.zeros(()))
    return scene._replace(
        facts=facts._replace(
            direction=facts.direction.at[0].set((facts.direction[0] + turn) % len(DIRECTIONS))
        ),
        objects=objects._replace(
            heading=objects.heading.at[0].set(new_heading), midpoint=objects.midpoint.at[0].set(midpoint)
        ),
    )


def repainted(scene: Scene) -> Scene:
    """Change the main object's colour to one that no other object has, and the background's palette."""
    facts, objects = scene.facts, scene.objects
    others = jnp.where(objects.present, facts.colour, -1)[1:]
    choices = (facts.colour[0] + REPAINT_OFFSET + jnp.arange(len(others) + 1)) % len(OBJECT_RGB)
    colour = choices[jnp.argmax(~jnp.isin(choices, others))]
    palette = (facts.palette + REPAINT_OFFSET) % len(PALETTE_RGB)
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
    """Move only the main object, on a straight line through the frame's centre, as one stroke does.

    The object neither rotates nor scales, and the camera and the other objects are static.

    Args:
        scene: the scene.
        direction: index in `DIRECTIONS`.
    """
    facts, objects = scene.facts, scene.objects
    length = jnp.clip(objects.path_length[0], *(bound * REFERENCE_SIZE / 64 for bound in STROKE_LENGTH))
    main = jnp.arange(len(objects.path_length)) == 0
    zero = jnp.zeros_like(objects.path_length)
    return scene._replace(
        facts=facts._replace(
            direction=facts.direction.at[0].set(direction),
            **{name: jnp.zeros_like(getattr(facts, name)) for name in ("path", "turn", "growth", "camera")},
        ),
        objects=objects._replace(
            heading=jnp.where(main, direction * _EIGHTH, objects.heading),
            path_length=jnp.where(main, length, zero),
            midpoint=jnp.where(main[:, None], 0.0, objects.midpoint),
            **dict.fromkeys(("log_growth", "spin", "arc"), zero),
        ),
        pan=jnp.zeros_like(scene.pan),
        log_zoom=jnp.zeros_like(scene.log_zoom),
    )
