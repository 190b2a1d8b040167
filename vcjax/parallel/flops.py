"""Number of floating-point operations of a function: matrix products and convolutions, counted in its jaxpr.

This is the number that model FLOPs utilisation (MFU) is computed from. Loop bodies count once per iteration.
Zeros that the gradient of a strided convolution is dilated with do not count. Winograd convolutions count
with their reduced number of products. Nothing is compiled.
"""

import math
from typing import Any

from jax.extend.core import Jaxpr

MANUAL_AXES = (
    "newly_manual_axes",
    "manual_axes",
)  # parameter of shard_map with its axes, depends on the JAX version

ATTENTION = {"dot_product_attention_fwd_wrapper": 2, "dot_product_attention_bwd_wrapper": 5}  # products


def count(traced: Any) -> float:
    """Count the operations of a traced function, two per multiply-add: `count(jax.jit(f).trace(*inputs))`."""
    return float(_jaxpr_flops(traced.jaxpr.jaxpr))


def _jaxpr_flops(jaxpr: Any) -> float | int:
    return sum(_equation_flops(equation) for equation in jaxpr.eqns)


def _equation_flops(equation: Any) -> float | int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * _size(equation.outvars[0]) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        numbers, kernel = parameters["dimension_numbers"], equation.invars[1].aval.shape
        window = math.prod(
            kernel[axis] for axis in numbers.rhs_spec[1:]
        )  # channels per group, and window size
        return 2 * _size(equation.outvars[0]) * window / math.prod(parameters["lhs_dilation"])
    if name in ATTENTION:  # cuDNN's: scores and values, and in the backward pass their gradients
        query, key = (variable.aval.shape for variable in equation.invars[:2])  # [B, N, H, D]
        return ATTENTION[name] * 2 * math.prod(query) * key[1]
    if name == "cond":
        return max(_jaxpr_flops(branch.jaxpr) for branch in parameters["branches"])
    repeats = _repeats(name, parameters)
    return repeats * sum(_jaxpr_flops(inner) for inner in _inner(parameters))


def _repeats(name: str, parameters: dict[str, Any]) -> int:
    """Return how often the inner jaxprs of an equation run, summed over all devices."""
    if name == "scan":
        return parameters["length"]
    if name == "pallas_call":  # the inner jaxpr is one program of the grid
        return math.prod(parameters["grid_mapping"].grid)
    if name == "shard_map":  # the inner jaxpr is the program of one device
        axes = next(parameters[key] for key in MANUAL_AXES if key in parameters)
        return math.prod(parameters["mesh"].shape[axis] for axis in axes)
    return 1


def _inner(parameters: dict[str, Any]) -> list[Any]:
    """Return the jaxprs among the parameters of an equation."""
    values = [getattr(value, "jaxpr", value) for value in parameters.values()]
    return [value for value in values if isinstance(value, Jaxpr)]


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)
