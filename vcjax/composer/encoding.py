"""Encoding of conditions: arrays to tokens and summed maps, for all branches of guidance at once."""

import dataclasses
from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from vcjax.composer.compiled import add_map, encode_map, encode_tokens
from vcjax.composer.model import LoadedModel
from vcjax.composer.request import Request
from vcjax.conditions.base import ClipShape, MapCondition

Arrays = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True, kw_only=True)
class EncodedConditions:
    """What the UNet sees of conditions: one row per branch of guidance.

    Attributes:
        tokens: tokens of text and style, `[G, L, D]`.
        mask: key mask of the tokens, `[G, L]`.
        maps: sum of the encoded maps, `[G, F, h, w, m]`.
    """

    tokens: Float[Array, "G L D"]
    mask: Bool[Array, "G L"]
    maps: Float[Array, "G F h w m"]


def encode_conditions(
    model: LoadedModel, request: Request, arrays: Arrays, shape: ClipShape
) -> EncodedConditions:
    """Encode the conditions of a request; each map is encoded once, whatever the number of branches.

    Args:
        model: model whose encoders are used.
        request: complete request, see `complete_request`.
        arrays: the conditions as `Composer.read` returns them.
        shape: shape of the clip.
    """
    tokens, mask = _tokens(model, request, arrays, shape)
    return EncodedConditions(tokens=tokens, mask=mask, maps=_maps(model, request, arrays, shape))


def _tokens(
    model: LoadedModel, request: Request, arrays: Arrays, shape: ClipShape
) -> tuple[Float[Array, "G L D"], Bool[Array, "G L"]]:
    """Return tokens and key mask of all branches.

    A condition that is not in a branch has its null embedding; one that is not in the request is masked if it has no
    null meaning.
    """
    branches = request.branches or ()
    embeddings, present = {}, {}
    for name, condition in model.conditions.items():
        if condition.kind != "tokens":
            continue
        null = model.null(name)
        embedding = null
        if name in arrays:
            strength = request.conditions[name].strength
            embedding = null + strength * (condition.embed(arrays[name], model.functions) - null)
        rows = [embedding if name in branch else null for branch in branches]
        if request.negative_text and condition.absent_is_null:
            rows[0] = condition.embed(model.tokenize(request.negative_text), model.functions)
        embeddings[name] = np.stack(rows)
        present[name] = np.full(len(branches), name in arrays or condition.absent_is_null)
    return encode_tokens(model.networks.tokens, model.parameters("tokens"), embeddings, present)


def _maps(
    model: LoadedModel, request: Request, arrays: Arrays, shape: ClipShape
) -> Float[Array, "G F h w m"]:
    """Return the sum of the encoded maps of each branch."""
    branches, stc = request.branches or (), model.networks.stc
    size = model.latent_shape(shape)[:2]
    total = jnp.zeros((len(branches), shape.frames, *size, stc.out_channels))
    for name, array in arrays.items():
        if isinstance(model.conditions[name], MapCondition):
            encoded = encode_map(stc, model.parameters("stc", name), array[None], size, shape.frames)
            strength = request.conditions[name].strength
            weights = np.array([strength * (name in branch) for branch in branches], np.float32)
            total = add_map(total, encoded, weights)
    return total
