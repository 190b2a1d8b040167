"""The recipe of `whole.py` without motion vectors: what the other conditions say of movement.

python -m vcjax.training --config=configs/ablations/no_motion.py
"""

from typing import Any

from configs.ablations import quarter


def get_config() -> Any:
    """`whole.py` but for one thing."""
    config = quarter("no_motion")
    with config.unlocked():
        del config.model.conditions.motion
    return config
