"""The plan of a run: what is known of it before anything is computed."""

import dataclasses
from functools import partial

import jax
import optax

from vcjax.training.config import Run
from vcjax.training.optimizer import make_optimizer
from vcjax.training.state import TrainState, trained_leaves
from vcjax.training.task import Task
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a run before anything is computed.

    Attributes:
        run: its configuration.
        shapes: of its parameters.
        trained: for each stage, which parameters are: a tree of booleans.
        transforms: the optimiser of each stage.
    """

    run: Run
    shapes: Tree
    trained: list[Tree]
    transforms: list[optax.GradientTransformation]

    def shapes_at(self, step: int) -> TrainState:
        """Shapes of the state after so many steps."""
        transform = self.transforms[self.run.stage_of(step)]
        return jax.eval_shape(partial(TrainState.begin, transform=transform, step=step), self.shapes)


def plan(run: Run, task: Task) -> Plan:
    """Plan a run.

    Raises:
        BadInput: a stage names an optimiser or parameters that there are not.
    """
    shapes = jax.eval_shape(task.init, jax.random.key(run.seed))
    trained = [trained_leaves(shapes, stage.train) for stage in run.stages]
    transforms = [make_optimizer(s.optimizer, s.steps, t) for s, t in zip(run.stages, trained, strict=True)]
    return Plan(run, shapes, trained, transforms)
