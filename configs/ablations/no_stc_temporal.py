"""Purpose: effect of the temporal layer of the STC-encoder (VideoComposer, section 4.3).

Command:

    vcjax train --config=ablations/no_stc_temporal

Time: estimated 105 s on an H100, 11 hours on two CPU cores.
Result: not run yet.
"""

from typing import Any

from vcjax.configs.ablations import quarter


def get_config() -> Any:
    """Return `whole` without temporal layers in the STC-encoders."""
    config = quarter("no_stc_temporal")
    with config.unlocked():
        config.model.networks.stc.temporal = False
    return config
