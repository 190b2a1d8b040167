"""Purpose: a model of your own videos at the size of `tiny`: text-to-video, then all conditions except depth
and sketches.

Command:

    vcjax prepare videos --out data/videos --without depth,sketch,single_sketch
    vcjax train --config=videos --config.data=data/videos

The depth and sketch networks of `tiny` work on the sprite world only. With a model folder that has better
ones (`--model` of `prepare`, `--config.frozen_from`), include these conditions. Without `--config.data` it
trains on the sprite world.

Time: as `sprites`; it computes in float32 for any machine, `--config.compute_dtype=bfloat16` on a GPU or TPU.
Result: not trained to the end on any videos yet.
"""

from typing import Any

from ml_collections import ConfigDict

from vcjax.configs import sprites

LEFT_OUT = ("depth", "sketch", "single_sketch")  # conditions that `tiny` cannot extract from real videos


def get_config() -> ConfigDict:
    """Return the recipe of `sprites` for the conditions that any folder of videos has."""
    config: Any = sprites.get_config()
    config.out, config.compute_dtype = "runs/videos", "float32"
    with config.unlocked():
        for name in LEFT_OUT:
            del config.model.conditions[name]
    return config
