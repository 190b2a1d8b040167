"""The plan of a run: what is known of it before anything is computed, and where its arrays lie."""

import dataclasses
from functools import partial

import jax
import optax
from jax.sharding import Mesh

from vcjax.parallel.batches import assembled
from vcjax.parallel.mesh import make_mesh
from vcjax.parallel.rules import partition, partition_like, with_shardings
from vcjax.training.config import Run
from vcjax.training.optimizer import make_optimizer
from vcjax.training.state import TrainState, trained_leaves
from vcjax.training.task import Batch, Task
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is known of a run before anything is computed.

    Attributes:
        run: its configuration.
        mesh: its devices.
        shapes: of its parameters.
        shardings: of its parameters.
        trained: for each stage, which parameters are: a tree of booleans.
        transforms: the optimiser of each stage.
    """

    run: Run
    mesh: Mesh
    shapes: Tree
    shardings: Tree
    trained: list[Tree]
    transforms: list[optax.GradientTransformation]

    def shapes_at(self, step: int) -> TrainState:
        """Shapes of the state after so many steps, and where it lies."""
        return self.shapes_in(self.run.stage_of(step))

    def shapes_in(self, stage: int) -> TrainState:
        """Shapes of the state in a stage, and where it lies."""
        begin = partial(TrainState.begin, transform=self.transforms[stage], step=0)
        shapes = jax.eval_shape(begin, self.shapes)
        return with_shardings(shapes, partition_like(self.mesh, shapes, self.shapes, self.shardings))

    def state_shardings(self, stage: int) -> TrainState:
        """Where the state lies in a stage."""
        return jax.tree.map(lambda x: x.sharding, self.shapes_in(stage))

    def begin(self, parameters: Tree, step: int) -> TrainState:
        """The state before the first step, spread over the mesh; the parameters are used up."""
        stage = self.run.first_stage
        begin = partial(TrainState.begin, transform=self.transforms[stage], step=step)
        spread = jax.jit(begin, out_shardings=self.state_shardings(stage), donate_argnums=0)
        return spread(jax.device_put(parameters, self.shardings))

    def enter_stage(self, state: TrainState, stage: int) -> TrainState:
        """The state at the beginning of a later stage; the one before is used up."""
        enter = partial(TrainState.enter_stage, transform=self.transforms[stage])
        return jax.jit(enter, out_shardings=self.state_shardings(stage), donate_argnums=0)(state)

    def frozen(self, tree: Tree) -> Tree:
        """What nobody trains, spread over the mesh by the same rules."""
        return jax.device_put(tree, partition(self.mesh, self.run.rules, tree))

    def batch(self, local: Batch, *, images: bool) -> Batch:
        """A batch of clips, or of single images, on the mesh, of which this process made its share."""
        return assembled(self.mesh, local, images=images)


def plan(run: Run, task: Task, mesh: Mesh | None = None) -> Plan:
    """Plan a run.

    Args:
        run: its configuration.
        task: what is learned.
        mesh: its devices, which need not be there; those of this machine and its hosts as the configuration says without it.

    Raises:
        BadInput: a stage names an optimiser or parameters that there are not, or mesh and rules do not fit.
    """
    mesh = make_mesh(run.mesh) if mesh is None else mesh
    shapes = jax.eval_shape(task.init, jax.random.key(run.seed))
    trained = [trained_leaves(shapes, stage.train) for stage in run.stages]
    transforms = [make_optimizer(s.optimizer, s.steps, t) for s, t in zip(run.stages, trained, strict=True)]
    return Plan(run, mesh, shapes, partition(mesh, run.rules, shapes), trained, transforms)
