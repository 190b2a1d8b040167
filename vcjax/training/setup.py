"""Setup of a run: shapes, shardings and optimisers, which are known before anything is computed."""

import dataclasses
from functools import partial

import jax
import optax
from jax.sharding import Mesh

from vcjax.parallel.batches import to_global_arrays
from vcjax.parallel.mesh import make_mesh
from vcjax.parallel.placement import with_layout
from vcjax.parallel.rules import partition, partition_like, with_shardings
from vcjax.training.config import Run
from vcjax.training.optimizer import make_optimizer
from vcjax.training.state import TrainState, trainable_mask
from vcjax.training.task import Batch, Task
from vcjax.weights.trees import Tree


@dataclasses.dataclass(frozen=True)
class TrainingSetup:
    """Mesh, parameter shapes, shardings and optimisers of a run.

    Attributes:
        run: configuration.
        mesh: device mesh.
        shapes: shapes of the parameters.
        shardings: shardings of the parameters.
        trainable: mask of the trained parameters of each stage, see `trainable_mask`.
        transforms: optimiser of each stage.
    """

    run: Run
    mesh: Mesh
    shapes: Tree
    shardings: Tree
    trainable: list[Tree]
    transforms: list[optax.GradientTransformation]

    def shapes_at(self, step: int) -> TrainState:
        """Return shapes and shardings of the state after `step` steps."""
        return self.shapes_in(self.run.stage_at(step))

    def place(self, state: TrainState) -> TrainState:
        """Return a state with its shardings in the layout in which the step reads it."""
        return jax.device_put(state, jax.tree.map(lambda x: with_layout(x, x.sharding), state))

    def shapes_in(self, stage: int) -> TrainState:
        """Return shapes and shardings of the state in a stage."""
        create = partial(TrainState.create, transform=self.transforms[stage], step=0)
        shapes = jax.eval_shape(create, self.shapes)
        return with_shardings(shapes, partition_like(self.mesh, shapes, self.shapes, self.shardings))

    def placement(self, stage: int) -> TrainState:
        """Return the shardings of the state in a stage, with layouts where these are not the default."""
        return jax.tree.map(lambda x: with_layout(x, x.sharding), self.shapes_in(stage))

    def create_state(self, parameters: Tree, step: int) -> TrainState:
        """Return the initial state, sharded over the mesh; the buffers of the parameters are donated."""
        stage = self.run.first_stage
        create = partial(TrainState.create, transform=self.transforms[stage], step=step)
        jitted = jax.jit(create, out_shardings=self.placement(stage), donate_argnums=0)
        return jitted(jax.device_put(parameters, self.shardings))

    def enter_stage(self, state: TrainState, stage: int) -> TrainState:
        """Return the initial state of a later stage; the buffers of `state` are donated."""
        enter = partial(TrainState.enter_stage, transform=self.transforms[stage])
        return jax.jit(enter, out_shardings=self.placement(stage), donate_argnums=0)(state)

    def frozen(self, tree: Tree) -> Tree:
        """Return frozen arrays, sharded over the mesh by the same rules as the parameters."""
        return jax.device_put(tree, self.frozen_placement(tree))

    def frozen_placement(self, tree: Tree) -> Tree:
        """Return where `frozen` puts arrays, for shapes too."""
        return jax.tree.map(with_layout, tree, partition(self.mesh, self.run.rules, tree))

    def batch(self, local: Batch, *, images: bool) -> Batch:
        """Return a global batch of clips, or of single images, from the shard of this process."""
        return to_global_arrays(self.mesh, local, images=images)


def set_up(run: Run, task: Task, mesh: Mesh | None = None) -> TrainingSetup:
    """Return the setup of a run.

    Args:
        run: configuration.
        task: task to train.
        mesh: device mesh, possibly of absent devices; if None, created from the configuration.

    Raises:
        BadInput: an optimiser or a prefix of trained parameters is unknown, or the mesh or the rules do not
            fit.
    """
    mesh = make_mesh(run.mesh) if mesh is None else mesh
    shapes = jax.eval_shape(task.init, jax.random.key(run.seed))
    trainable = [trainable_mask(shapes, stage.trainable) for stage in run.stages]
    transforms = [make_optimizer(s.optimizer, s.steps, t) for s, t in zip(run.stages, trainable, strict=True)]
    return TrainingSetup(run, mesh, shapes, partition(mesh, run.rules, shapes), trainable, transforms)
