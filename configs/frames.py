"""`tiny` trained on, by two cores: single frames that are told their numbers, then clips and such frames by turns.

    python -m vcjax.training --config=configs/frames.py

A clip of 16 frames tells a network that sees one frame at a time as much as 16 clips of which it sees one frame each cost: what
words say of directions and shapes is learned from single frames in a fraction of the time (docs/tiny.md).
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites


def get_config() -> ConfigDict:
    """The composition stage of the sprites' recipe, twice: of single frames, and of both."""
    config: Any = sprites.get_config()
    config.out, config.start, config.dtype = "runs/frames", "tiny", "float32"
    config.fixed_clips, config.ema = 8192, 0.998
    config.optimizer.update(learning_rate=1e-3, warmup=50)
    _, composition = config.stages
    frames, both = composition.copy_and_resolve_references(), composition
    frames.update(name="frames", steps=1200, batch=8, images_every=1, images=64)
    both.update(name="both", steps=1600, batch=8, images_every=2, images=64)
    frames.optimizer.update(decay="constant")
    config.stages = (frames, both)
    return config
