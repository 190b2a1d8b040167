"""Colours of the sprite world, and the rule that segments objects by colour.

Objects are saturated, backgrounds are muted, and a texture only darkens a colour. So *chroma*, the distance
of a colour from the grey axis, separates objects from background, and the hue identifies the named colour.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

OBJECT_RGB: dict[str, tuple[float, float, float]] = {
    "red": (0.90, 0.08, 0.16),
    "orange": (1.00, 0.50, 0.05),
    "yellow": (0.96, 0.93, 0.08),
    "green": (0.10, 0.78, 0.16),
    "cyan": (0.10, 0.85, 0.90),
    "blue": (0.10, 0.30, 0.95),
    "purple": (0.50, 0.10, 0.85),
    "pink": (1.00, 0.25, 0.72),
}
# Light and dark tone of each background palette.
PALETTE_RGB: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "beige": ((0.84, 0.77, 0.66), (0.71, 0.64, 0.53)),
    "gray": ((0.63, 0.63, 0.65), (0.48, 0.48, 0.50)),
    "olive": ((0.52, 0.54, 0.40), (0.39, 0.41, 0.29)),
    "mauve": ((0.67, 0.54, 0.64), (0.53, 0.41, 0.50)),
    "navy": ((0.25, 0.28, 0.39), (0.14, 0.16, 0.25)),
    "brown": ((0.51, 0.40, 0.33), (0.37, 0.28, 0.22)),
    "teal": ((0.36, 0.51, 0.51), (0.25, 0.38, 0.38)),
    "ivory": ((0.95, 0.93, 0.87), (0.81, 0.79, 0.73)),
}
COLOURS = tuple(OBJECT_RGB)
PALETTES = tuple(PALETTE_RGB)

DARK_TONE = 0.6  # factor on an object's colour in the dark parts of its texture
# About half way between the least saturated dark tone, 0.32, and the most saturated palette, 0.13.
CHROMA_THRESHOLD = 0.22
NO_COLOUR = -1

_OFFSETS = np.array(list(OBJECT_RGB.values()), np.float32) @ (np.eye(3, dtype=np.float32) - 1 / 3)
_HUES = _OFFSETS / np.linalg.norm(_OFFSETS, axis=-1, keepdims=True)


def colour_ids(rgb: Float[Array, "*shape 3"]) -> Int[Array, "*shape"]:
    """Classify each pixel by named colour; this segments objects in rendered and generated videos.

    ```python
    red = colour_ids(frames / 255) == COLOURS.index("red")
    ```

    Args:
        rgb: RGB colours in [0, 1].

    Returns:
        The index in `COLOURS` of the nearest hue where chroma exceeds `CHROMA_THRESHOLD`, else `NO_COLOUR`
        (background). A blended edge between two objects may get a third colour.
    """
    offset = rgb - rgb.mean(-1, keepdims=True)
    saturated = jnp.sum(offset**2, -1) > CHROMA_THRESHOLD**2
    return jnp.where(saturated, jnp.argmax(offset @ _HUES.T, -1), NO_COLOUR)
