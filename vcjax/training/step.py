"""Training step: loss, gradient, parameter update and moving average in one compiled function."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.tree_util import keystr

from vcjax.parallel import compilation
from vcjax.parallel.mesh import replicated
from vcjax.training.config import Stage
from vcjax.training.optimizer import global_norm, make_schedule
from vcjax.training.setup import TrainingSetup
from vcjax.training.state import TrainState, update_ema
from vcjax.training.task import Batch, Loss, Task
from vcjax.weights.trees import Tree

Step = compilation.jit  # (TrainState, frozen, Batch) -> (TrainState, metrics)


def make_step(task: Task, setup: TrainingSetup, index: int) -> Step:
    """Return the compiled step of a stage, whose argument `state` is donated.

    Random numbers depend on seed and step only, so that a resumed run equals an uninterrupted one. Batches of
    other shapes, such as single images, are further programs of the same function.

    Args:
        task: task to train.
        setup: setup of the run.
        index: index of the stage.
    """
    run = setup.run
    stage, trainable, transform = run.stages[index], setup.trainable[index], setup.transforms[index]
    learning_rate = make_schedule(stage.optimizer, stage.steps)

    def step(state: TrainState, frozen: Tree, batch: Batch) -> tuple[TrainState, dict[str, Any]]:
        key = jax.random.fold_in(jax.random.key(run.seed), state.step)
        loss, gradient = loss_and_gradient(task, stage, trainable, state.parameters, frozen, batch, key)
        updates, optimizer = transform.update(gradient, state.optimizer, state.parameters)
        parameters: Any = optax.apply_updates(state.parameters, updates)
        if word := task.unused(batch):
            # Their gradient is zero, but moments and weight decay would still move them.
            parameters, optimizer = keep_where_named(
                word, (state.parameters, state.optimizer), (parameters, optimizer)
            )
        updated = TrainState(
            step=state.step + 1,
            parameters=parameters,
            optimizer=optimizer,
            ema=update_ema(state.ema, parameters, state.step, run.ema_decay),
        )
        metrics = {
            "loss": loss.value,
            "sums": loss.sums,
            "counts": loss.counts,
            "learning_rate": learning_rate(state.step - run.first_step(index)),
            "gradient_norm": global_norm(gradient),
        }
        return updated, metrics

    placements = (setup.placement(index), replicated(setup.mesh))
    return compilation.jit(step, compilation.TRAINING_OPTIONS, donate_argnums=0, out_shardings=placements)


def keep_where_named(word: str, old: Any, new: Any) -> Any:
    """Return the leaves of `old` whose path has a key that contains the word, and else those of `new`."""

    def choose(path: Any, before: Any, after: Any) -> Any:
        return before if word in keystr(path) else after

    return jax.tree.map_with_path(choose, old, new)


def loss_and_gradient(
    task: Task, stage: Stage, trainable: Tree, parameters: Tree, frozen: Tree, batch: Batch, key: jax.Array
) -> tuple[Loss, Tree]:
    """Return the loss of a batch and its gradient, accumulated over microbatches if the stage says so."""

    def loss_of(parameters: Tree, microbatch: Batch, key: jax.Array) -> tuple[Any, Loss]:
        # Gradients of frozen parameters are not computed.
        parameters = jax.tree.map(lambda p, yes: p if yes else lax.stop_gradient(p), parameters, trainable)
        loss = task.loss(parameters, frozen, microbatch, key, stage)
        return loss.value, loss

    def microbatch_gradient(microbatch: Batch, key: jax.Array) -> tuple[Loss, Tree]:
        (_, loss), gradient = jax.value_and_grad(loss_of, has_aux=True)(parameters, microbatch, key)
        return loss, gradient

    if stage.gradient_accumulation == 1:
        return microbatch_gradient(batch, key)
    microbatches = jax.tree.map(lambda x: x.reshape(stage.gradient_accumulation, -1, *x.shape[1:]), batch)
    keys = jax.random.split(key, stage.gradient_accumulation)
    shapes = jax.eval_shape(microbatch_gradient, jax.tree.map(lambda x: x[0], microbatches), keys[0])
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def add(total: tuple[Loss, Tree], microbatch: tuple[Batch, jax.Array]) -> tuple[tuple[Loss, Tree], None]:
        return jax.tree.map(jnp.add, total, microbatch_gradient(*microbatch)), None

    (loss, gradient), _ = lax.scan(add, zeros, (microbatches, keys))
    gradient = jax.tree.map(lambda x: x / stage.gradient_accumulation, gradient)
    return dataclasses.replace(loss, value=loss.value / stage.gradient_accumulation), gradient
