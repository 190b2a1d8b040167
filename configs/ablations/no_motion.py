"""The sprites' recipe without motion vectors: what the other conditions say of movement.

python -m vcjax.training --config=configs/ablations/no_motion.py

As long as the whole recipe, and not run yet: to be compared with it on the same seed.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites


def get_config() -> ConfigDict:
    """`configs/sprites.py` but for one thing."""
    config: Any = sprites.get_config()
    config.out = "runs/no_motion"
    with config.unlocked():
        del config.model.conditions.motion
    return config
