"""`Task`: the interface between the trainer and what it trains: parameters, batches and loss."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from flax import struct
from jaxtyping import PRNGKeyArray

from vcjax.training.config import Stage
from vcjax.video.clip import Clip
from vcjax.weights.trees import Tree

Batch = Any  # tree of arrays whose first axis is the batch


@struct.dataclass
class Loss:
    """Loss and metrics of a batch.

    Attributes:
        value: scalar loss to minimise.
        sums: sum of each metric over samples.
        counts: number of samples of each metric; a metric without samples is not reported.
    """

    value: Any
    sums: dict[str, Any]
    counts: dict[str, Any]


@runtime_checkable
class Task(Protocol):
    """A training task; its parameters are a table of components of a model folder."""

    allow_missing: tuple[
        str, ...
    ]  # components whose encoders may be missing in `init_from`, and are then initialised

    def init(self, key: PRNGKeyArray) -> Tree:
        """Return the initial parameters."""
        ...

    def frozen(self) -> Tree:
        """Return the frozen arrays of the loss, which are an argument of the compiled step."""
        ...

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Yield the batches of a stage that begins at step `begin`, from step `first` of the run on.

        The generator is infinite. A batch depends on seed and step only. Each process yields its shard of it,
        see `vcjax.parallel.batches.ProcessShard`.
        """
        ...

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Return the loss of a batch; a pure function."""
        ...

    def unused(self, batch: Batch) -> str:
        """Return a word in the names of the parameters that a batch does not use, such as `temporal`; empty for none.

        A step on the batch leaves them and their optimiser state as they are.
        """
        ...

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Return sample videos by name, with their conditions in further columns."""
        ...


def sample_count(batch: Batch) -> int:
    """Return the number of samples in a batch."""
    return jax.tree.leaves(batch)[0].shape[0]
