"""The recipe of `whole.py` without the temporal layer of the STC-encoder: what it is worth for consistency and motion
(VideoComposer, section 4.3).

python -m vcjax.training --config=configs/ablations/no_stc_temporal.py
"""

from typing import Any

from configs.ablations import quarter


def get_config() -> Any:
    """`whole.py` but for one thing."""
    config = quarter("no_stc_temporal")
    with config.unlocked():
        config.model.networks.stc.temporal = False
    return config
