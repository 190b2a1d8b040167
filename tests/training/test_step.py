"""The step: gradients are right, pieces add up, what is frozen does not move, and four clips can be learned by heart."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import smoke
from tests.training.runs import LineTask, one_stage, same
from vcjax.diffusion.schedule import Schedule
from vcjax.training.assemble import task_of
from vcjax.training.config import Optimizer, run_from
from vcjax.training.diffusion import drawn_by_weight, weights_of
from vcjax.training.optimizer import make_schedule
from vcjax.training.plan import plan
from vcjax.training.state import averaged
from vcjax.training.step import make_step
from vcjax.weights.trees import flatten


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small run, its task, parameters that are nowhere zero, frozen parts and a batch."""
    run = one_stage(tmp_path_factory.mktemp("step"))
    task = task_of(run)
    parameters = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape),
        task.init(jax.random.key(0, impl="unsafe_rbg")),
    )
    batch = jax.tree.map(jnp.asarray, next(task.batches(run.stages[0], 0, 0)))
    return run, task, parameters, task.frozen(), batch


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(small):
    run, task, parameters, frozen, batch = small
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (parameters, frozen))
        networks = task._networks.with_dtype(jnp.float64)
        precise = dataclasses.replace(task.composer, networks=networks)
        task = type(task)(precise, task.source, "plain")
        key, stage = jax.random.key(5), run.stages[0]
        loss = jax.jit(lambda p: task.loss(p, wide[1], batch, key, stage).value)
        gradient = flatten(jax.jit(jax.grad(loss))(wide[0]))
        flat = flatten(wide[0])
        rng = np.random.default_rng(0)
        checked = 0
        for name in (
            "unet/entry_conv/kernel",
            "unet/head_conv/kernel",
            "stc/depth/conv_0/kernel",
            "tokens/style_0/kernel",
        ):
            direction = rng.normal(size=flat[name].shape)
            step = 1e-4

            def at(distance, name=name, direction=direction):
                moved = dict(flat) | {name: flat[name] + distance * direction}
                return float(loss(unflattened(moved)))

            slope = (at(step) - at(-step)) / (2 * step)
            expected = float((gradient[name] * direction).sum())
            # the loss is computed in float64 but for its norms and softmax, which are float32 by design
            assert abs(slope - expected) < 2e-2 * abs(expected) + 1e-5, name
            checked += abs(expected) > 1e-4
        assert checked >= 3


def unflattened(flat):
    from vcjax.weights.trees import unflatten

    return unflatten(flat)


def line_step(**stage):
    run = run_from(
        {
            "task": "line",
            "model": {},
            "out": "nowhere",
            "optimizer": {"learning_rate": 0.1, "clip": 0.0},
            "stages": [{"name": "only", "steps": 50, "batch": 8, **stage}],
        }
    )
    planned, task = plan(run, LineTask()), LineTask()
    return run, task, make_step(task, planned, 0), planned.begin(task.init(None), 0)


def test_the_step_learns_and_its_average_follows():
    run, task, step, state = line_step()
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(100), strict=False):
        state, metrics = step(state, {}, batch)
    assert float(metrics["loss"]) < 1e-3
    np.testing.assert_allclose(state.parameters["line"]["kernel"], 3, atol=0.05)
    np.testing.assert_allclose(state.average["line"]["kernel"], 3, atol=0.5)
    assert int(state.step) == 100


def test_pieces_of_a_batch_add_up_to_the_whole():
    run, task, whole, state = line_step()
    _, _, pieces, again = line_step(accumulate=4)
    batch = next(task.batches(run.stages[0], 0, 0))
    (a, told_a), (b, told_b) = whole(state, {}, batch), pieces(again, {}, batch)
    for x, y in zip(jax.tree.leaves(a.parameters), jax.tree.leaves(b.parameters), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(told_a["sums"]["error"], told_b["sums"]["error"], rtol=1e-5)
    np.testing.assert_allclose(told_a["loss"], told_b["loss"], rtol=1e-5)


def test_what_is_frozen_does_not_move_by_a_bit():
    run, task, step, state = line_step(train=["line/kernel"], optimizer={"weight_decay": 0.1})
    before = jax.tree.map(np.array, state.parameters)
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(5), strict=False):
        state, _ = step(state, {}, batch)
    assert same(before["other"], state.parameters["other"])
    assert same(before["line"]["bias"], state.parameters["line"]["bias"])
    assert not same(before["line"]["kernel"], state.parameters["line"]["kernel"])


def test_the_average_forgets_its_start():
    one, nought = {"x": jnp.ones(())}, {"x": jnp.zeros(())}
    np.testing.assert_allclose(averaged(nought, one, jnp.int32(0), 0.999)["x"], 0.9)
    np.testing.assert_allclose(averaged(nought, one, jnp.int32(10**6), 0.999)["x"], 0.001, rtol=1e-4)


def test_schedules_warm_up_and_decay():
    schedule = make_schedule(Optimizer(learning_rate=1.0, warmup=10, decay="cosine", final=0.1), 110)
    values = [float(schedule(step)) for step in (0, 5, 10, 60, 110, 200)]
    np.testing.assert_allclose(values, [0, 0.5, 1, 0.55, 0.1, 0.1], atol=1e-6)
    linear = make_schedule(Optimizer(learning_rate=1.0, decay="linear", final=0.5), 100)
    np.testing.assert_allclose([float(linear(step)) for step in (0, 50, 100)], [1, 0.75, 0.5])


@pytest.mark.parametrize("weighting", ["clean", "min_snr"])
def test_predictions_are_weighed_alike(weighting):
    """An error of the clean latent weighs the same, in whatever units the network's answer has it."""
    schedule, t = Schedule(), jnp.array([0, 300, 600, 999])
    alpha = schedule.alpha_bar[np.asarray(t)]
    snr = alpha / (1 - alpha)
    # d(epsilon) = -signal / sigma d(x0), and d(v) = -1 / sigma d(x0), at a given z
    in_x0 = {"x0": np.ones(4), "epsilon": snr, "v": 1 / (1 - alpha)}
    for prediction, per_x0 in in_x0.items():
        weights = np.asarray(weights_of(weighting, schedule, prediction, t))
        wanted = np.minimum(snr, 5) if weighting == "min_snr" else np.ones(4)
        np.testing.assert_allclose(weights * per_x0, wanted, rtol=2e-3, err_msg=prediction)
    assert snr[0] > 5 > snr[2]


def test_timesteps_drawn_by_weight_give_the_weighted_mean_with_less_noise():
    weights, errors = jnp.array([0.0, 0.1, 0.4, 0.0, 0.5]), np.array([9.0, 1.0, 2.0, 9.0, 4.0])
    draw = jax.jit(lambda key: drawn_by_weight(key, 8, weights))
    drawn = errors[np.stack([draw(jax.random.key(i)) for i in range(2000)])]
    expected = float((weights * errors).sum() / weights.sum())
    independent = ((weights * (errors - expected) ** 2).sum() / weights.sum() / 8) ** 0.5  # of a mean of 8
    means = drawn.mean(1)
    assert abs(means.mean() - expected) < 4 * means.std() / 2000**0.5
    assert means.std() < independent / 2
    assert drawn.max() == 4  # nothing of weight 0


@pytest.mark.parametrize("timesteps", ["uniform", "by_weight"])
def test_no_timestep_below_the_lowest_is_trained_and_the_others_as_before(tmp_path, timesteps):
    task = task_of(one_stage(tmp_path, weighting="clean", timesteps=timesteps))
    lowest, steps = 700, task.composer.schedule.steps
    draw = jax.jit(jax.vmap(lambda key: task._timesteps(key, 8, lowest)))
    t, weights = jax.device_get(draw(jax.random.split(jax.random.key(0), 2000)))
    assert lowest <= t.min() < lowest + 10
    assert steps - 10 <= t.max() < steps
    errors = np.arange(steps) / steps
    means = (errors[t] * np.reshape(weights, (2000, -1))).mean(1)
    expected = (errors * np.asarray(task._weights))[lowest:].mean()
    assert abs(means.mean() - expected) < 4 * means.std() / 2000**0.5


def test_single_images_are_given_conditions_of_their_own(tmp_path):
    stage = {"images_every": 2, "images": 4, "image_conditions": ["text"]}
    run = one_stage(tmp_path, stage)
    task = task_of(run)
    parameters, frozen = jax.eval_shape(task.init, jax.random.key(0)), task.frozen()

    def given(count, frames):
        picked = task.source.pick("train", np.arange(count, dtype=np.int32), frames)
        loss = partial(task.loss, key=jax.random.key(0), stage=run.stages[0])
        return {
            name
            for name in jax.eval_shape(loss, parameters, frozen, picked).counts
            if name.startswith("loss_with_")
        }

    assert given(4, 1) == {"loss_with_text"}
    assert given(2, 3) == {f"loss_with_{name}" for name in task.composer.conditions}


@pytest.mark.slow
def test_four_clips_can_be_learned_by_heart(tmp_path):
    config = smoke.get_config()
    config.fixed_clips, config.out = 4, str(tmp_path)
    config.model.clip.frames = 2
    config.stages = config.stages[1:]
    stage = config.stages[0]
    stage.steps, stage.batch = 300, 8
    stage.dropout = {"all_dropped": 0.0, "all_kept": 1.0}
    run = run_from(config)
    task = task_of(run)
    planned = plan(run, task)
    step, frozen = make_step(task, planned, 0), planned.frozen(task.frozen())
    state = planned.begin(task.init(jax.random.key(0, impl="unsafe_rbg")), 0)
    losses = []
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(run.steps), strict=False):
        state, metrics = step(state, frozen, batch)
        losses.append(metrics["loss"])
    losses = np.array(jax.device_get(losses))
    assert losses[-50:].mean() < losses[0] / 4
