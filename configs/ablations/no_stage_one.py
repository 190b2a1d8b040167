"""Purpose: effect of text-to-video training before composition: stage two has the steps of both.

Command:

    vcjax train --config=ablations/no_stage_one

Time: estimated 105 s on an H100, 11 hours on two CPU cores.
Result: not run yet.
"""

from typing import Any

from vcjax.configs.ablations import quarter


def get_config() -> Any:
    """Return `whole` without its first stage."""
    config = quarter("no_stage_one")
    first, second = config.stages
    second.steps += first.steps
    config.stages = (second,)
    return config
