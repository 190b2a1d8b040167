"""Which conditions a sample keeps in training (VideoComposer, section 4.1)."""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from vcjax.training.config import Dropout


def draw_kept(
    key: PRNGKeyArray, dropout: Dropout, names: Iterable[str], batch: int
) -> dict[str, Bool[Array, "B"]]:
    """For each condition, which samples of the batch keep it; each sample is drawn alone.

    With probability `all_dropped` a sample keeps none, with `all_kept` all; else each is dropped by its own
    probability, independently of the others.
    """
    fate_key, each_key = jax.random.split(key)
    fate = jax.random.uniform(fate_key, (batch,))
    none, every = fate < dropout.all_dropped, fate >= 1 - dropout.all_kept
    kept = {}
    for i, name in enumerate(names):
        dropped = dropout.each.get(name, dropout.others)
        own = jax.random.uniform(jax.random.fold_in(each_key, i), (batch,)) >= dropped
        kept[name] = ~none & (every | own)
    return kept


def where_kept(kept: Bool[Array, "B"], given: Array, otherwise: Array | float) -> Array:
    """Rows of `given` where kept, else `otherwise`."""
    return jnp.where(kept.reshape(-1, *(1 for _ in given.shape[1:])), given, otherwise)
