"""Purpose: the sprites recipe at a quarter of its steps, the reference of the ablations.

Command:

    vcjax train --config=ablations/whole

Time: estimated 105 s on an H100, 11 hours on two CPU cores.
Result: not run yet.
"""

from ml_collections import ConfigDict

from vcjax.configs.ablations import quarter


def get_config() -> ConfigDict:
    """Return the recipe with nothing left out."""
    return quarter("whole")
