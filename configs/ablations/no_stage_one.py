"""The recipe of `whole.py` without the first stage, whose steps the second has instead: what text-to-video before composition
is worth.

python -m vcjax.training --config=configs/ablations/no_stage_one.py
"""

from typing import Any

from configs.ablations import quarter


def get_config() -> Any:
    """`whole.py` but for one thing."""
    config = quarter("no_stage_one")
    first, second = config.stages
    second.steps += first.steps
    config.stages = (second,)
    return config
