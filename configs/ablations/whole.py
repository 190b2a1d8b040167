"""The sprites' recipe at a quarter of its steps: what the ablations are compared with.

python -m vcjax.training --config=configs/ablations/whole.py
"""

from ml_collections import ConfigDict

from configs.ablations import quarter


def get_config() -> ConfigDict:
    """Nothing is left out."""
    return quarter("whole")
