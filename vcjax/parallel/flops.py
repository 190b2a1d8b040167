"""Floating-point operations of a function, counted in its jaxpr: those of matrix products and convolutions.

That is what utilisation is commonly told in. Loops count as often as they run, zeros that a strided convolution's gradient
is dilated with do not count, Winograd's products count as what they are, and nothing is compiled.
"""

import math
from typing import Any

from jax.extend.core import Jaxpr

MANUAL_AXES = ("newly_manual_axes", "manual_axes")  # what shard_map calls its axes, by version of JAX


def count(traced: Any) -> float:
    """Operations (two a multiplication) of a traced function: `count(jax.jit(f).trace(*inputs))`."""
    return float(_of_jaxpr(traced.jaxpr.jaxpr))


def _of_jaxpr(jaxpr: Any) -> float | int:
    return sum(_of_equation(equation) for equation in jaxpr.eqns)


def _of_equation(equation: Any) -> float | int:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        left = equation.invars[0].aval.shape
        return 2 * _size(equation.outvars[0]) * math.prod(left[axis] for axis in contracted)
    if name == "conv_general_dilated":
        numbers, kernel = parameters["dimension_numbers"], equation.invars[1].aval.shape
        window = math.prod(kernel[axis] for axis in numbers.rhs_spec[1:])  # channels of a group, and places
        return 2 * _size(equation.outvars[0]) * window / math.prod(parameters["lhs_dilation"])
    if name == "cond":
        return max(_of_jaxpr(branch.jaxpr) for branch in parameters["branches"])
    repeats = _repeats(name, parameters)
    return repeats * sum(_of_jaxpr(inner) for inner in _inner(parameters))


def _repeats(name: str, parameters: dict[str, Any]) -> int:
    """How often what is inside an equation runs, on all devices together."""
    if name == "scan":
        return parameters["length"]
    if name == "shard_map":  # what is inside is one device's share
        axes = next(parameters[key] for key in MANUAL_AXES if key in parameters)
        return math.prod(parameters["mesh"].shape[axis] for axis in axes)
    return 1


def _inner(parameters: dict[str, Any]) -> list[Any]:
    """The jaxprs among an equation's parameters."""
    values = [getattr(value, "jaxpr", value) for value in parameters.values()]
    return [value for value in values if isinstance(value, Jaxpr)]


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)
