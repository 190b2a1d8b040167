"""Bootstrap confidence intervals of means over clips and of functions of such means."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from vcjax.errors import BadInput
from vcjax.evaluation.arrays import AnyArray

DRAWS = 2_000
LEVEL = 0.95


class Interval(NamedTuple):
    """A statistic and its confidence interval.

    Attributes:
        value: the statistic of the sample.
        low: lower bound.
        high: upper bound.
    """

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
    """Return a statistic over clips with its bootstrap percentile interval (Efron 1979).

    Clips are resampled with replacement.

    ```python
    bootstrap(errors)                                       # mean of the errors
    bootstrap(errors, others, of=lambda a, b: a / b)        # ratio of means; clips are resampled jointly
    ```

    Args:
        samples: scores (numbers or booleans) of the same clips in the same order, one array for each case.
        of: the statistic, an elementwise function of the mean of each of the samples.
        draws: number of bootstrap samples.
        level: confidence level of the interval.
        seed: seed of the resampling.

    Raises:
        BadInput: no clips, samples of different lengths, or a score that is NaN or infinite.
    """
    if not samples or len({len(sample) for sample in samples}) > 1 or not len(samples[0]):
        raise BadInput("a bootstrap needs scores of at least one clip, and equally many for each case")
    scores = np.stack([np.asarray(sample, np.float64) for sample in samples])
    if not np.isfinite(scores).all():
        raise BadInput("a bootstrap needs finite scores, but one is NaN or infinite")
    clips = scores.shape[1]
    drawn = np.random.default_rng(seed).integers(0, clips, (draws, clips))
    statistics = of(*(sample[drawn].mean(-1) for sample in scores))
    low, high = np.quantile(statistics, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(of(*scores.mean(-1))), float(low), float(high))
