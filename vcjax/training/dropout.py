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

    With probability `all_dropped` a sample keeps none, with `all_kept` all, with `few` none, one or two beside its text,
    which like all conditions of all other samples is dropped by its own probability, independently.
    """
    names = tuple(names)
    fate_key, each_key = jax.random.split(key)
    fate = jax.random.uniform(fate_key, (batch,))
    none, every = fate < dropout.all_dropped, fate >= 1 - dropout.all_kept
    few = ~none & (fate < dropout.all_dropped + dropout.few)
    draws = {
        name: jax.random.uniform(jax.random.fold_in(each_key, i), (batch,)) for i, name in enumerate(names)
    }
    beside = [draw for name, draw in draws.items() if name != "text"]
    count = (fate - dropout.all_dropped) / max(dropout.few, 1e-9) * 3  # below 3 where few
    kept = {}
    for name, draw in draws.items():
        own = draw >= dropout.each.get(name, dropout.others)
        if name != "text":  # the first so many of a random order
            place = sum(other < draw for other in beside)
            own = jnp.where(few, place < jnp.floor(count), own)
        kept[name] = ~none & (every | own)
    return kept


def where_kept(kept: Bool[Array, "B"], given: Array, otherwise: Array | float) -> Array:
    """Rows of `given` where kept, else `otherwise`."""
    return jnp.where(kept.reshape(-1, *(1 for _ in given.shape[1:])), given, otherwise)
