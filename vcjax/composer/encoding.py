"""Encoding of conditions: arrays to tokens and summed maps, for all branches of guidance at once."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from vcjax.composer.compiled import add_map, encode_map, encode_tokens, put_window
from vcjax.composer.model import LoadedModel
from vcjax.composer.reading import ConditionReader, hashable
from vcjax.composer.request import Request
from vcjax.composer.strength import Strength, strength_of

Active = frozenset[str]  # names of the conditions that are present at a step


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedConditions:
    """What the UNet sees of conditions: a row per branch of guidance, for each window in time of the clip.

    Attributes:
        tokens: different tokens of text and style, `[P, G, L, D]`.
        mask: key mask of the tokens, `[P, G, L]`.
        prompt: index of each window's tokens, int32 `[U]`.
        maps: sum of the encoded maps of each window, `[U, G, f, h, w, m]`.
    """

    tokens: Float[Array, "P G L D"]
    mask: Bool[Array, "P G L"]
    prompt: Int[np.ndarray, "U"]
    maps: Float[Array, "U G f h w m"]


def encode_conditions(
    model: LoadedModel,
    request: Request,
    reader: ConditionReader,
    active: Iterable[Active] | None = None,
) -> dict[Active, EncodedConditions]:
    """Encode the conditions of a request; each map of a window is encoded once, whatever the branches and steps.

    Args:
        model: model whose encoders are used.
        request: complete request, see `complete_request`.
        reader: its conditions.
        active: sets of conditions that are present together at some step; by default all are present.
    """
    sets = tuple(dict.fromkeys([frozenset(request.conditions)] if active is None else active))
    clips = reader.tiling.clips()
    values = [reader.token_values(first) for first in clips]
    keys = [tuple(hashable(each).items()) for each in values]
    prompts = list(dict.fromkeys(keys))
    tokens = [_tokens(model, request, reader.token_arrays(values[keys.index(key)]), sets) for key in prompts]
    maps: list[Any] = [None] * len(sets)
    for index, first in enumerate(clips):
        for i, total in enumerate(_window_maps(model, request, reader, first, sets)):
            whole = jnp.zeros((len(clips), *total.shape)) if index == 0 else maps[i]
            maps[i] = put_window(whole, total, index)
    return {
        each: EncodedConditions(
            tokens=jnp.stack([rows[i][0] for rows in tokens]),
            mask=jnp.stack([rows[i][1] for rows in tokens]),
            prompt=np.array([prompts.index(key) for key in keys], np.int32),
            maps=maps[i],
        )
        for i, each in enumerate(sets)
    }


def _tokens(
    model: LoadedModel, request: Request, arrays: Mapping[str, np.ndarray], sets: Sequence[Active]
) -> list[tuple[Float[Array, "G L D"], Bool[Array, "G L"]]]:
    """Return tokens and key mask of all branches, for each set of conditions that are present.

    A condition that is not in a branch has its null embedding; one that is absent is masked if it has no null meaning.
    """
    branches = request.branches or ()
    nulls = {name: model.null(name) for name, c in model.conditions.items() if c.kind == "tokens"}
    given = {}
    for name, array in arrays.items():
        difference = model.conditions[name].embed(array, model.functions) - nulls[name]
        with np.errstate(over="ignore"):  # what is not finite is named after sampling
            given[name] = nulls[name] + _strength(request, name).value * difference
    first = {}  # what stands in the first branch, in place of the null embedding
    if request.negative_text:
        ids = model.tokenize(request.negative_text)
        texts = [name for name in nulls if model.conditions[name].absent_is_null]
        first = {name: model.conditions[name].embed(ids, model.functions) for name in texts}
    result = []
    for active in sets:
        embeddings, present = {}, {}
        for name, null in nulls.items():
            condition, there = model.conditions[name], name in given and name in active
            rows = [given[name] if there and name in branch else null for branch in branches]
            rows[0] = first.get(name, rows[0])
            embeddings[name] = np.stack(rows)
            present[name] = np.full(len(branches), there or condition.absent_is_null)
        result.append(encode_tokens(model.networks.tokens, model.parameters("tokens"), embeddings, present))
    return result


def _window_maps(
    model: LoadedModel, request: Request, reader: ConditionReader, first: int, sets: Sequence[Active]
) -> list[Float[Array, "G f h w m"]]:
    """Return the sum of a window's encoded maps of each branch, for each set of conditions that are present."""
    branches, stc, shape = request.branches or (), model.networks.stc, reader.shape
    size, frames, index = model.latent_shape(shape)[:2], reader.tiling.size[0], reader.frames(first)
    totals = [jnp.zeros((len(branches), frames, *size, stc.out_channels))] * len(sets)
    for name, array in reader.window_maps(first).items():
        encoded = encode_map(stc, model.parameters("stc", name), array[None], size, frames)
        strength = _strength(request, name)
        factors = strength.weights(shape, size, index, reader.area(name, strength))
        for i, active in enumerate(sets):
            in_branch = np.array(
                [float(name in branch and name in active) for branch in branches], np.float32
            )
            totals[i] = add_map(totals[i], encoded, in_branch[:, None, None, None, None] * factors)
    return totals


def _strength(request: Request, name: str) -> Strength:
    return strength_of(name, request.conditions[name].strength)
