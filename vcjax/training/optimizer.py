"""Optax optimisers and learning-rate schedules from their configuration."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jaxtyping import Array, Float

from vcjax.errors import BadInput
from vcjax.platforms import platform
from vcjax.training.config import Optimizer
from vcjax.weights.trees import Tree

JOINED = 64  # arrays in a join: a kernel takes only so many operands
RESERVED_ARGUMENTS = ("learning_rate", "weight_decay", "mask")  # set by other keys than `options`


def make_schedule(config: Optimizer, steps: int) -> optax.Schedule:
    """Return the learning rate as a function of the step of a stage.

    Args:
        config: the optimiser.
        steps: number of steps of the stage.
    """
    decay_steps = max(steps - config.warmup_steps, 1)
    peak, final = config.learning_rate, config.learning_rate * config.final_fraction
    after = {
        "constant": optax.constant_schedule(peak),
        "cosine": optax.cosine_decay_schedule(peak, decay_steps, alpha=config.final_fraction),
        "linear": optax.linear_schedule(peak, final, decay_steps),
    }[config.schedule]
    if not config.warmup_steps:
        return after
    warmup = optax.linear_schedule(0.0, peak, config.warmup_steps)
    return optax.join_schedules([warmup, after], [config.warmup_steps])


def make_optimizer(config: Optimizer, steps: int, trainable: Tree) -> optax.GradientTransformation:
    """Return the optimiser of a stage; frozen parameters are not updated.

    Args:
        config: the optimiser.
        steps: number of steps of the stage.
        trainable: tree of booleans in the structure of the parameters.

    Raises:
        BadInput: Optax has no such optimiser, or the optimiser has no such argument or no weight decay.
    """
    family: Any = getattr(optax, config.name, None)
    parameters = inspect.signature(family).parameters if inspect.isfunction(family) else {}
    if "learning_rate" not in parameters:
        raise BadInput(
            f"optimizer.name must be an optimiser of optax such as adamw or lion, not {config.name!r}"
        )
    arguments = {
        name: _argument(config.name, parameters, name, value) for name, value in config.options.items()
    }
    if "weight_decay" in parameters and "mask" in parameters:
        arguments |= {"weight_decay": config.weight_decay, "mask": _weight_decay_mask}
    elif config.weight_decay:
        raise BadInput(f"optimizer {config.name} has no weight decay: leave weight_decay at 0")
    try:
        transform = family(make_schedule(config, steps), **arguments)
    except (TypeError, ValueError) as error:
        raise BadInput(f"optimizer.options: optax.{config.name} rejects them: {error}") from error
    if config.max_grad_norm:
        transform = optax.chain(_clip_by_global_norm(config.max_grad_norm), transform)
    labels = jax.tree.map(lambda yes: "trained" if yes else "frozen", trainable)
    return optax.multi_transform({"trained": transform, "frozen": optax.set_to_zero()}, labels)


def global_norm(tree: Any) -> Float[Array, ""]:
    """Return the square root of the sum of the squares of all elements.

    A GPU needs two kernels to sum an array to a scalar. Here it sums the rows of each matrix, in one kernel, and the rest
    joined. XLA would undo the join without the barrier.
    """
    squares = [
        _square_sums(leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32)))
        for leaf in jax.tree.leaves(tree)
    ]
    if platform() != "gpu":
        return jnp.sqrt(sum(jnp.sum(each) for each in squares))
    joined = [jnp.concatenate(squares[i : i + JOINED]) for i in range(0, len(squares), JOINED)]
    return jnp.sqrt(jnp.sum(jnp.concatenate(lax.optimization_barrier(joined))))


def _square_sums(x: Float[Array, "..."]) -> Float[Array, "N"]:
    """Return sums of squares over all axes but the first, of the kernel of a convolution over all but the last."""
    axes = range(x.ndim - 1) if x.ndim > 2 else range(1, x.ndim)
    return jnp.atleast_1d(jnp.sum(jnp.square(x), axis=tuple(axes)))


def _clip_by_global_norm(limit: float) -> optax.GradientTransformation:
    """Return `optax.clip_by_global_norm` with the norm of `global_norm`, which XLA computes once for all its uses."""

    def scaled(updates: Any, parameters: Any) -> Any:
        scale = limit / jnp.maximum(global_norm(updates), limit)
        return jax.tree.map(lambda x: x * scale.astype(x.dtype), updates)

    return optax.stateless(scaled)


def _argument(optimizer: str, parameters: Any, name: str, value: Any) -> Any:
    """Return an argument for the Optax function; names of types are converted for `dtype` arguments."""
    allowed = [known for known in parameters if known not in RESERVED_ARGUMENTS]
    if name not in allowed:
        raise BadInput(
            f"optimizer.options: optax.{optimizer} has no argument {name!r}: it has {', '.join(allowed)}"
        )
    if not name.endswith("dtype") or value is None:
        return value
    try:
        return jnp.dtype(value)
    except TypeError as error:
        raise BadInput(
            f"optimizer.options.{name} must be a type such as float32 or bfloat16, not {value!r}"
        ) from error


def _weight_decay_mask(parameters: Any) -> Any:
    """Return the mask of weight decay: True for kernels and embeddings, False for biases and norm scales."""
    return jax.tree.map(lambda leaf: leaf.ndim > 1, parameters)
