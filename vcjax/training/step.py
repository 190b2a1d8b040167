"""One training step: batch in, loss, gradient, update, average out; one compiled function, its state donated."""

import dataclasses
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax

from vcjax.parallel import compilation
from vcjax.parallel.mesh import replicated
from vcjax.parallel.stored import Stored
from vcjax.training.config import Stage
from vcjax.training.optimizer import make_schedule
from vcjax.training.plan import Plan
from vcjax.training.state import TrainState, averaged
from vcjax.training.task import Batch, Loss, Task
from vcjax.weights.trees import Tree

Step = Stored  # (TrainState, frozen, Batch) -> (TrainState, metrics)


def make_step(task: Task, planned: Plan, index: int) -> Step:
    """The jitted step of a stage. Batches of other shapes (images beside videos) are programs of the same function.

    Randomness is a function of seed and step, so a run that goes on from a checkpoint is the run undisturbed.

    Args:
        task: what is learned.
        planned: how.
        index: of the stage.
    """
    run = planned.run
    stage, trained, transform = run.stages[index], planned.trained[index], planned.transforms[index]
    learning_rate = make_schedule(stage.optimizer, stage.steps)

    def step(state: TrainState, frozen: Tree, batch: Batch) -> tuple[TrainState, dict[str, Any]]:
        key = jax.random.fold_in(jax.random.key(run.seed), state.step)
        loss, gradient = loss_and_gradient(task, stage, trained, state.parameters, frozen, batch, key)
        updates, optimizer = transform.update(gradient, state.optimizer, state.parameters)
        parameters: Any = optax.apply_updates(state.parameters, updates)
        after = TrainState(
            step=state.step + 1,
            parameters=parameters,
            optimizer=optimizer,
            average=averaged(state.average, parameters, state.step, run.ema),
        )
        metrics = {
            "loss": loss.value,
            "sums": loss.sums,
            "counts": loss.counts,
            "learning_rate": learning_rate(state.step - run.begin_of(index)),
            "gradient_norm": optax.tree.norm(gradient),
            "parameter_norm": optax.tree.norm(parameters),
        }
        return after, metrics

    shardings = (planned.state_shardings(index), replicated(planned.mesh))
    jitted = compilation.jit(step, compilation.TRAINING_OPTIONS, donate_argnums=0, out_shardings=shardings)
    folder = Path(run.programs) if run.programs else None
    return Stored(jitted, folder, name=f"stage_{index}", configuration=repr(run))


def loss_and_gradient(
    task: Task, stage: Stage, trained: Tree, parameters: Tree, frozen: Tree, batch: Batch, key: jax.Array
) -> tuple[Loss, Tree]:
    """Mean loss of a batch and its gradient, taken piece by piece where the stage accumulates."""

    def loss_of(parameters: Tree, piece: Batch, key: jax.Array) -> tuple[Any, Loss]:
        # gradients of what is not trained are not computed
        parameters = jax.tree.map(lambda p, yes: p if yes else lax.stop_gradient(p), parameters, trained)
        loss = task.loss(parameters, frozen, piece, key, stage)
        return loss.value, loss

    def one(piece: Batch, key: jax.Array) -> tuple[Loss, Tree]:
        (_, loss), gradient = jax.value_and_grad(loss_of, has_aux=True)(parameters, piece, key)
        return loss, gradient

    if stage.accumulate == 1:
        return one(batch, key)
    pieces = jax.tree.map(lambda x: x.reshape(stage.accumulate, -1, *x.shape[1:]), batch)
    keys = jax.random.split(key, stage.accumulate)
    shapes = jax.eval_shape(one, jax.tree.map(lambda x: x[0], pieces), keys[0])
    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: tuple[Loss, Tree], piece: tuple[Batch, jax.Array]) -> tuple[tuple[Loss, Tree], None]:
        return jax.tree.map(jnp.add, total, one(*piece)), None

    (loss, gradient), _ = lax.scan(add, nothing, (pieces, keys))
    gradient = jax.tree.map(lambda x: x / stage.accumulate, gradient)
    return dataclasses.replace(loss, value=loss.value / stage.accumulate), gradient
