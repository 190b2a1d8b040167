"""The map conditions that the sprite world knows exactly, as a model takes them."""

from jaxtyping import Array

from vcjax.data.sprites.render import Sprites

EXACT = ("image", "single_sketch", "motion", "depth", "sketch")


def exact_maps(clips: Sprites, first: Sprites | None = None) -> dict[str, Array]:
    """Return the exact maps of clips by condition, `[..., F or 1, H, W, C]`.

    Works on arrays of NumPy and of JAX, with any batch axes in front.

    Args:
        clips: rendered clips.
        first: the same clips with their first frame only, where `clips` lacks it.
    """
    first = clips if first is None else first
    return {
        "image": first.frames[..., :1, :, :, :].astype("float32") / 255,
        "single_sketch": first.outline[..., :1, :, :, :],
        "motion": clips.motion,
        "depth": clips.depth,
        "sketch": clips.outline,
    }
