"""The recipe of `whole.py` with one or two conditions in most samples of the second stage: what they are worth by themselves.

python -m vcjax.training --config=configs/ablations/few.py
"""

from typing import Any

from configs.ablations import quarter


def get_config() -> Any:
    """`whole.py` but for one thing."""
    config = quarter("few")
    config.stages[1].dropout = {"all_dropped": 0.1, "few": 0.6, "all_kept": 0.1}
    return config
