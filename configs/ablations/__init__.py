"""The sprites' recipe at a quarter of its steps, whole and with one thing left out, on the same seed."""

from typing import Any

from configs import sprites

SHARE = 4  # of the recipe's steps each arm takes one in so many


def quarter(name: str) -> Any:
    """`configs/sprites.py` with a quarter of the steps in each stage, and of the warm-up.

    Args:
        name: of the run's folder.
    """
    config: Any = sprites.get_config()
    config.out = f"runs/{name}"
    config.optimizer.warmup //= SHARE
    for stage in config.stages:
        stage.steps //= SHARE
    return config
