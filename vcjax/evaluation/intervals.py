"""How sure a figure is: bootstrap intervals of a mean, or of anything else that is made of means over clips."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from vcjax.errors import BadInput
from vcjax.evaluation.arrays import AnyArray

DRAWS = 2_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A figure, and the bounds between which it lies with a certain probability."""

    value: float
    low: float
    high: float


def bootstrap(
    *samples: Shaped[AnyArray, "_"],
    of: Callable[..., Float[np.ndarray, "*draws"]] = lambda mean: mean,
    draws: int = DRAWS,
    level: float = LEVEL,
    seed: int = 0,
) -> Interval:
    """A figure over clips with its percentile interval (Efron 1979): clips are drawn anew, with replacement.

    ```python
    bootstrap(errors)                                       # their mean
    bootstrap(errors, others, of=lambda a, b: a / b)        # a ratio of means, the same clips in both
    ```

    Args:
        samples: scores (or hits, yes and no) of the same clips in the same order, one array for each setting.
        of: the figure, made of the mean of each of the samples; it works element by element.
        draws: how often clips are drawn anew.
        level: probability that the interval holds.
        seed: of the draws.

    Raises:
        BadInput: no clips, samples of different length, or a score that is NaN or infinite.
    """
    if not samples or len({len(sample) for sample in samples}) > 1 or not len(samples[0]):
        raise BadInput("a bootstrap needs scores of at least one clip, and equally many for each setting")
    scores = np.stack([np.asarray(sample, np.float64) for sample in samples])
    if not np.isfinite(scores).all():
        raise BadInput("a bootstrap needs finite scores, but one is NaN or infinite")
    clips = scores.shape[1]
    drawn = np.random.default_rng(seed).integers(0, clips, (draws, clips))
    figures = of(*(sample[drawn].mean(-1) for sample in scores))
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(of(*scores.mean(-1))), float(low), float(high))
