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

    With probability `all_dropped` a sample keeps none, with `few` one or two, with `all_kept` all; else each is dropped
    by its own probability, independently of the others.
    """
    names = tuple(names)
    fate_key, each_key = jax.random.split(key)
    fate = jax.random.uniform(fate_key, (batch,))
    none, every = fate < dropout.all_dropped, fate >= 1 - dropout.all_kept
    few = ~none & (fate < dropout.all_dropped + dropout.few)
    two = fate < dropout.all_dropped + dropout.few / 2
    drawn = jnp.stack(
        [jax.random.uniform(jax.random.fold_in(each_key, i), (batch,)) for i in range(len(names))]
    )
    first = (drawn[:, None] < drawn).sum(0) < 1 + two  # one or two of a random order
    kept = {}
    for name, draw, chosen in zip(names, drawn, first, strict=True):
        own = draw >= dropout.each.get(name, dropout.others)
        kept[name] = ~none & (every | jnp.where(few, chosen, own))
    return kept


def where_kept(kept: Bool[Array, "B"], given: Array, otherwise: Array | float) -> Array:
    """Rows of `given` where kept, else `otherwise`."""
    return jnp.where(kept.reshape(-1, *(1 for _ in given.shape[1:])), given, otherwise)
