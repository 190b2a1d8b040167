"""Training state: the values that a step updates and a checkpoint stores."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int

from vcjax.errors import BadInput
from vcjax.weights.trees import Tree, flatten, unflatten

EMA_WARMUP = 10  # the decay of step n is at most (1 + n) / (EMA_WARMUP + n), as in TensorFlow's EMA


@struct.dataclass
class TrainState:
    """State of a run after `step` steps; `Run.stage_at` returns its stage.

    Attributes:
        step: number of completed steps since the beginning of the first stage, int32.
        parameters: parameters, float32.
        optimizer: Optax state of the stage that the last step belongs to.
        ema: exponential moving average of the parameters.
    """

    step: Any
    parameters: Any
    optimizer: Any
    ema: Any

    @classmethod
    def create(cls, parameters: Tree, transform: optax.GradientTransformation, step: int) -> "TrainState":
        """Return the initial state; the moving average is initialised with the parameters."""
        return cls(
            step=jnp.asarray(step, jnp.int32),
            parameters=parameters,
            optimizer=transform.init(parameters),
            ema=jax.tree.map(jnp.copy, parameters),
        )

    def enter_stage(self, transform: optax.GradientTransformation) -> "TrainState":
        """Return the initial state of the next stage, which has a new optimiser state."""
        return dataclasses.replace(self, optimizer=transform.init(self.parameters))


def update_ema(ema: Tree, parameters: Tree, step: Int[Array, ""], decay: float) -> Tree:
    """Return the moving average after a step, counted from 0: ema + (1 - decay) (parameters - ema)."""
    n = step.astype(jnp.float32)
    weight: Float[Array, ""] = 1 - jnp.minimum(decay, (1 + n) / (EMA_WARMUP + n))
    return jax.tree.map(lambda a, p: a + weight * (p - a), ema, parameters)


def trainable_mask(parameters: Tree, prefixes: tuple[str, ...]) -> Tree:
    """Return a tree of booleans: True for parameters whose name has one of the prefixes.

    Without prefixes it is True for all parameters.

    Raises:
        BadInput: no parameter has one of the prefixes.
    """
    names = flatten(parameters)
    for prefix in prefixes:
        if not any(name.startswith(prefix) for name in names):
            known = sorted({"/".join(name.split("/")[:2]) for name in names})
            raise BadInput(
                f"stage.trainable: no parameter name begins with {prefix!r}; "
                f"names begin with {', '.join(known)}"
            )
    return unflatten({name: name.startswith(prefixes or ("",)) for name in names})
