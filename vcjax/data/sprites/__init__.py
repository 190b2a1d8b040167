"""The sprite world: synthetic clips of moving shapes with exact ground truth.

Every clip is rendered from a JAX random key, with motion, depth, outlines, masks and a caption.

```python
from vcjax.data import sprites

clips = sprites.batch("train", jnp.arange(16))    # frames, motion, depth, mask, outline, style, track, facts
texts = sprites.captions(clips.facts)             # "a red circle moving left", ...
```
"""

from vcjax.data.sprites.caption import MAX_WORDS, VOCABULARY, caption, captions
from vcjax.data.sprites.colours import (
    CHROMA_THRESHOLD,
    COLOURS,
    NO_COLOUR,
    OBJECT_RGB,
    PALETTE_RGB,
    PALETTES,
    colour_ids,
)
from vcjax.data.sprites.render import Sprites, Style, render
from vcjax.data.sprites.scene import (
    BACKGROUNDS,
    CAMERAS,
    DIRECTIONS,
    GROWTHS,
    MAX_OBJECTS,
    PATHS,
    SHAPES,
    SIZES,
    TEXTURES,
    TURNS,
    Facts,
    Scene,
    held_out_direction,
    sample_scene,
)
from vcjax.data.sprites.splits import SPLITS, batch, scene

__all__ = [
    "BACKGROUNDS",
    "CAMERAS",
    "CHROMA_THRESHOLD",
    "COLOURS",
    "DIRECTIONS",
    "GROWTHS",
    "MAX_OBJECTS",
    "MAX_WORDS",
    "NO_COLOUR",
    "OBJECT_RGB",
    "PALETTES",
    "PALETTE_RGB",
    "PATHS",
    "SHAPES",
    "SIZES",
    "SPLITS",
    "TEXTURES",
    "TURNS",
    "VOCABULARY",
    "Facts",
    "Scene",
    "Sprites",
    "Style",
    "batch",
    "caption",
    "captions",
    "colour_ids",
    "held_out_direction",
    "render",
    "sample_scene",
    "scene",
]
