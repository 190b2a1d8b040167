"""Ablations of the sprites recipe: a quarter of its steps with the same seed, complete or with one part left
out.
"""

from typing import Any

from vcjax.configs import sprites

FRACTION = 4  # each arm takes one in so many of the recipe's steps


def quarter(name: str) -> Any:
    """Return `sprites` with a quarter of the steps in each stage, and of the warm-up.

    Args:
        name: name of the run's folder.
    """
    config: Any = sprites.get_config()
    config.out = f"runs/{name}"
    config.optimizer.warmup_steps //= FRACTION
    for stage in config.stages:
        stage.steps //= FRACTION
    return config
