"""The recipe of `whole.py` with conditions dropped independently, never down to one or two on purpose: what those are worth.

python -m vcjax.training --config=configs/ablations/independent.py
"""

from typing import Any

from configs.ablations import quarter


def get_config() -> Any:
    """`whole.py` but for one thing."""
    config = quarter("independent")
    config.stages[1].dropout.few = 0.0
    return config
