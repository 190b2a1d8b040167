"""The sprites' recipe without the temporal layer of the STC-encoder: what it is worth for consistency and motion (VideoComposer, section 4.3).

python -m vcjax.training --config=configs/ablations/no_stc_temporal.py

As long as the whole recipe, and not run yet: to be compared with it on the same seed.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites


def get_config() -> ConfigDict:
    """`configs/sprites.py` but for one thing."""
    config: Any = sprites.get_config()
    config.out = "runs/no_stc_temporal"
    with config.unlocked():
        config.model.networks.stc.temporal = False
    return config
