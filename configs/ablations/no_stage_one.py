"""The sprites' recipe without the first stage: what text-to-video before composition is worth.

python -m vcjax.training --config=configs/ablations/no_stage_one.py

As long as the whole recipe, and not run yet: to be compared with it on the same seed.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites


def get_config() -> ConfigDict:
    """`configs/sprites.py` but for one thing."""
    config: Any = sprites.get_config()
    config.out = "runs/no_stage_one"
    with config.unlocked():
        config.stages = (config.stages[1],)
    return config
