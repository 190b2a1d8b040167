"""Purpose: effect of sparse condition dropout: conditions are dropped independently only.

Command:

    vcjax train --config=ablations/independent

Time: estimated 105 s on an H100, 11 hours on two CPU cores.
Result: not run yet.
"""

from typing import Any

from vcjax.configs.ablations import quarter


def get_config() -> Any:
    """Return `whole` without sparse dropout."""
    config = quarter("independent")
    config.stages[1].dropout.sparse = 0.0
    return config
