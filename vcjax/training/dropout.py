"""Condition dropout in training (VideoComposer, section 4.1)."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from vcjax.training.config import Dropout

MAX_SPARSE = 2  # largest number of conditions that a sparse sample keeps in addition to text


def draw_keep_masks(
    key: PRNGKeyArray, dropout: Dropout, names: Iterable[str], batch: int
) -> dict[str, Bool[Array, "B"]]:
    """Draw the keep mask of each condition; samples are independent.

    Each sample is in one of four modes: with probability `drop_all` all conditions are dropped, with
    `keep_all` all are kept, with `sparse` zero, one or two conditions other than text are kept, and otherwise
    each condition is dropped independently. In the sparse mode text is dropped independently.

    Args:
        key: random key.
        dropout: probabilities.
        names: conditions of the batch.
        batch: number of samples B.

    Returns:
        Keep masks by condition; True where a sample keeps the condition.
    """
    names = tuple(names)
    mode_key, each_key = jax.random.split(key)
    mode = jax.random.uniform(mode_key, (batch,))
    drop_all, keep_all = mode < dropout.drop_all, mode >= 1 - dropout.keep_all
    sparse = ~drop_all & (mode < dropout.drop_all + dropout.sparse)
    draws = {
        name: jax.random.uniform(jax.random.fold_in(each_key, i), (batch,)) for i, name in enumerate(names)
    }
    other_draws = [draw for name, draw in draws.items() if name != "text"]
    # Within the sparse mode uniform in [0, MAX_SPARSE + 1); its floor is the number of conditions to keep.
    count = (mode - dropout.drop_all) / max(dropout.sparse, 1e-9) * (MAX_SPARSE + 1)
    keep_masks = {}
    for name, draw in draws.items():
        keep = draw >= dropout.per_condition.get(name, dropout.probability)
        if name != "text":  # keeps the first `count` conditions in a random order
            rank = sum(other < draw for other in other_draws)
            keep = jnp.where(sparse, rank < jnp.floor(count), keep)
        keep_masks[name] = ~drop_all & (keep_all | keep)
    return keep_masks


def where_keep(keep_mask: Bool[Array, "B"], kept: Array, dropped: Array | float) -> Array:
    """Select rows of `kept` where the mask is True, else of `dropped`."""
    return jnp.where(keep_mask.reshape(-1, *(1 for _ in kept.shape[1:])), kept, dropped)
