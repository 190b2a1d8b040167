"""One's own videos, in the size of the built-in model `tiny`: text-to-video first, then all but depth and sketches.

    vcjax prepare videos --out data/videos --without depth,sketch,single_sketch
    python -m vcjax.training --config=configs/videos.py --config.data=data/videos

The networks of `tiny` for depth and sketches know the sprite world only; a model folder with better ones (`--model` of
prepare, `config.parts`) needs another list here. Without `--config.data` the clips are the sprite world's.

It computes in float32, for any machine: `--config.dtype=bfloat16` on a GPU or TPU. Not run to its end on any footage.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites

LEFT_OUT = (
    "depth",
    "sketch",
    "single_sketch",
)  # conditions that tiny has no network for, or one of another world


def get_config() -> ConfigDict:
    """The sprites' recipe for the conditions that a folder of videos has."""
    config: Any = sprites.get_config()
    config.out, config.dtype = "runs/videos", "float32"
    with config.unlocked():
        for name in LEFT_OUT:
            del config.model.conditions[name]
    return config
