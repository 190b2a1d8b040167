"""What a run carries from step to step, and nothing else: it is what a checkpoint holds."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Int

from vcjax.errors import BadInput
from vcjax.weights.trees import Tree, flatten, unflatten

EMA_WARMUP = 10  # the average of step n decays by (1 + n) / (EMA_WARMUP + n) at most: its start is forgotten


@struct.dataclass
class TrainState:
    """The state of a run after `step` steps. Its stage follows from the step (`Run.stage_of`).

    Attributes:
        step: steps done since the beginning of the first stage, int32.
        parameters: float32.
        optimizer: of the stage that the last step belongs to.
        average: exponential moving average of the parameters.
    """

    step: Any
    parameters: Any
    optimizer: Any
    average: Any

    @classmethod
    def begin(cls, parameters: Tree, transform: optax.GradientTransformation, step: int) -> "TrainState":
        """The state before the first step, with a fresh optimiser; the average begins at the parameters."""
        return cls(
            step=jnp.asarray(step, jnp.int32),
            parameters=parameters,
            optimizer=transform.init(parameters),
            average=jax.tree.map(jnp.copy, parameters),
        )

    def enter_stage(self, transform: optax.GradientTransformation) -> "TrainState":
        """The state at the beginning of the next stage: everything stays but the optimiser, which is fresh."""
        return dataclasses.replace(self, optimizer=transform.init(self.parameters))


def averaged(average: Tree, parameters: Tree, step: Int[Array, ""], decay: float) -> Tree:
    """The moving average of the parameters after step number `step` (from 0)."""
    n = step.astype(jnp.float32)
    share: Float[Array, ""] = 1 - jnp.minimum(decay, (1 + n) / (EMA_WARMUP + n))
    return jax.tree.map(lambda a, p: a + share * (p - a), average, parameters)


def trained_leaves(parameters: Tree, beginnings: tuple[str, ...]) -> Tree:
    """A tree of booleans: which parameters' names begin with one of these; all where none is given.

    Raises:
        BadInput: no parameter's name begins so.
    """
    names = flatten(parameters)
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            first = sorted({"/".join(name.split("/")[:2]) for name in names})
            raise BadInput(
                f"stage.train: no parameter begins with {beginning!r}; they begin with {', '.join(first)}"
            )
    return unflatten({name: name.startswith(beginnings or ("",)) for name in names})
