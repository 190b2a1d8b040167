"""`tiny` trained on, by two cores: what words say of directions first, from single frames; then all of it, frames and clips.

    python -m vcjax.training --config=configs/frames.py

A clip of 16 frames tells a network as much of its words as one frame does, and costs as much as 16 frames of other clips,
each of which is told its number. And words of directions are learned in minutes where nothing else moves (docs/tiny.md).
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites

SPATIAL = ("down_0_0", "down_1_0", "middle", "up_0_0", "up_0_1", "up_1_0", "up_1_1")
STEPS = 3700


def get_config() -> ConfigDict:
    """The composition stage of the sprites' recipe, frames and clips by turns, behind one of simple scenes."""
    config: Any = sprites.get_config()
    config.out, config.start, config.dtype = "runs/frames", "tiny", "float32"
    config.fixed_clips, config.ema = 8192, 0.995
    config.optimizer.update(learning_rate=1e-3, warmup=50)
    _, composition = config.stages
    composition.update(name="composition", steps=STEPS, batch=4, images_every=2, images=64)
    composition.update(image_scenes="simple", image_lowest_t=900, image_conditions=("text", "image"))
    composition.train = tuple(f"unet/{block}_spatial/" for block in SPATIAL)
    directions = composition.copy_and_resolve_references()
    directions.update(name="directions", steps=450, images_every=1)
    directions.dropout.update(all_kept=0.0, few=0.0, each={"text": 0.1, "image": 0.2})
    directions.optimizer.decay = "constant"
    config.stages = (directions, composition)
    return config
