"""`Task`: what is learned. The trainer knows parameters, batches and losses, but no network and no data set."""

from collections.abc import Generator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
from flax import struct
from jaxtyping import PRNGKeyArray

from vcjax.training.config import Stage
from vcjax.video.clip import Clip
from vcjax.weights.trees import Tree

Batch = Any  # a tree of arrays whose first axis is the samples


@struct.dataclass
class Loss:
    """What one batch says.

    Attributes:
        value: the scalar to be minimised.
        sums: for each metric, the sum over samples.
        counts: for each metric, over how many samples; a metric of no sample is not told.
    """

    value: Any
    sums: dict[str, Any]
    counts: dict[str, Any]


@runtime_checkable
class Task(Protocol):
    """Something that the trainer can train. Its parameters are a table of components of a model folder."""

    growing: tuple[str, ...]  # components that may have members which the model that a run starts from lacks

    def init(self, key: PRNGKeyArray) -> Tree:
        """Parameters before the first step."""
        ...

    def frozen(self) -> Tree:
        """Arrays that the loss needs and nobody trains; an argument of the step, so that they are not compiled in."""
        ...

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Batch, None, None]:
        """Batches of the stage that began at step `begin`, from step `first` of the run on, without end.

        Each is a function of seed and step alone. Of several processes each gives its share of it, see
        `vcjax.parallel.batches.share`.
        """
        ...

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """The loss of one batch; pure."""
        ...

    def samples(self, parameters: Tree, frozen: Tree) -> Mapping[str, Clip]:
        """Videos to look at, by name, each with what it was made from beside it."""
        ...


def sample_count(batch: Batch) -> int:
    """How many samples a batch has."""
    return jax.tree.leaves(batch)[0].shape[0]
