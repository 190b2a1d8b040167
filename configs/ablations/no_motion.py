"""Purpose: effect of motion vectors: the model has no motion condition.

Command:

    vcjax train --config=ablations/no_motion

Time: estimated 105 s on an H100, 11 hours on two CPU cores.
Result: not run yet.
"""

from typing import Any

from vcjax.configs.ablations import quarter


def get_config() -> Any:
    """Return `whole` without the motion condition."""
    config = quarter("no_motion")
    with config.unlocked():
        del config.model.conditions.motion
    return config
