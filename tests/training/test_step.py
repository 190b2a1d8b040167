"""The training step: gradients, gradient accumulation, frozen parameters, EMA, and overfitting four clips."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import keystr

from tests.training.runs import MODEL, TWO_LEVELS, LineTask, one_stage, same
from vcjax.diffusion.schedule import Schedule
from vcjax.training.build import build_task
from vcjax.training.config import Optimizer, run_from_config
from vcjax.training.config_files import load_file, plain
from vcjax.training.loss_weighting import importance_timesteps, loss_weights
from vcjax.training.optimizer import make_schedule
from vcjax.training.setup import set_up
from vcjax.training.state import update_ema
from vcjax.training.step import make_step
from vcjax.weights.trees import flatten


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A small run, its task, parameters that are nowhere zero, frozen parts and a batch."""
    run = one_stage(tmp_path_factory.mktemp("step"))
    task = build_task(run)
    parameters = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape),
        task.init(jax.random.key(0, impl="unsafe_rbg")),
    )
    batch = jax.tree.map(jnp.asarray, next(task.batches(run.stages[0], 0, 0)))
    return run, task, parameters, task.frozen(), batch


@pytest.mark.slow
def test_kernels_in_the_compute_type_change_neither_loss_nor_gradient(tmp_path, monkeypatch):
    run = one_stage(tmp_path, compute_dtype="bfloat16", model=TWO_LEVELS)
    task = build_task(run)
    parameters = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape),
        task.init(jax.random.key(0, impl="unsafe_rbg")),
    )
    cast = task.in_compute_type(parameters)["unet"]
    assert (cast["conv_in"]["kernel"].dtype, cast["conv_in"]["bias"].dtype) == (jnp.bfloat16, jnp.float32)
    assert cast["conv_out"]["kernel"].dtype == jnp.float32
    frozen, batch = task.frozen(), jax.tree.map(jnp.asarray, next(task.batches(run.stages[0], 0, 0)))

    def loss_and_gradient():
        loss = partial(task.loss, frozen=frozen, batch=batch, key=jax.random.key(1), stage=run.stages[0])
        return jax.jit(jax.value_and_grad(lambda p: loss(p).value))(parameters)

    found = loss_and_gradient()
    monkeypatch.setattr(task, "in_compute_type", lambda tree: tree)
    jax.tree.map(np.testing.assert_array_equal, found, loss_and_gradient())


@pytest.mark.slow
def test_the_gradient_is_that_of_finite_differences(small):
    run, task, parameters, frozen, batch = small
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda x: jnp.asarray(np.asarray(x), jnp.float64), (parameters, frozen))
        networks = task._networks.with_dtype(jnp.float64)
        precise = dataclasses.replace(task.composer, networks=networks)
        task = type(task)(precise, task.source)
        key, stage = jax.random.key(5), run.stages[0]
        loss = jax.jit(lambda p: task.loss(p, wide[1], batch, key, stage).value)
        gradient = flatten(jax.jit(jax.grad(loss))(wide[0]))
        flat = flatten(wide[0])
        rng = np.random.default_rng(0)
        checked = 0
        for name in (
            "unet/conv_in/kernel",
            "unet/conv_out/kernel",
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
    run = run_from_config(
        {
            "task": "line",
            "model": MODEL,
            "out": "nowhere",
            "optimizer": {"learning_rate": 0.1, "max_grad_norm": 0.0},
            "stages": [{"name": "only", "steps": 50, "batch_size": 8, **stage}],
        }
    )
    setup, task = set_up(run, LineTask()), LineTask()
    return run, task, make_step(task, setup, 0), setup.create_state(task.init(None), 0)


def test_the_step_learns_and_the_ema_follows():
    run, task, step, state = line_step()
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(100), strict=False):
        state, metrics = step(state, {}, batch)
    assert float(metrics["loss"]) < 1e-3
    np.testing.assert_allclose(state.parameters["line"]["kernel"], 3, atol=0.05)
    np.testing.assert_allclose(state.ema["line"]["kernel"], 3, atol=0.5)
    assert int(state.step) == 100


def test_gradient_accumulation_gives_the_gradient_of_the_batch():
    run, task, full, state = line_step()
    _, _, pieces, again = line_step(gradient_accumulation=4)
    batch = next(task.batches(run.stages[0], 0, 0))
    (a, metrics_a), (b, metrics_b) = full(state, {}, batch), pieces(again, {}, batch)
    for x, y in zip(jax.tree.leaves(a.parameters), jax.tree.leaves(b.parameters), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(metrics_a["sums"]["error"], metrics_b["sums"]["error"], rtol=1e-5)
    np.testing.assert_allclose(metrics_a["loss"], metrics_b["loss"], rtol=1e-5)


def test_frozen_parameters_stay_bit_equal():
    run, task, step, state = line_step(trainable=["line/kernel"], optimizer={"weight_decay": 0.1})
    before = jax.tree.map(np.array, state.parameters)
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(5), strict=False):
        state, _ = step(state, {}, batch)
    assert same(before["other"], state.parameters["other"])
    assert same(before["line"]["bias"], state.parameters["line"]["bias"])
    assert not same(before["line"]["kernel"], state.parameters["line"]["kernel"])


def test_the_ema_forgets_its_initial_value():
    one, nought = {"x": jnp.ones(())}, {"x": jnp.zeros(())}
    np.testing.assert_allclose(update_ema(nought, one, jnp.int32(0), 0.999)["x"], 0.9)
    np.testing.assert_allclose(update_ema(nought, one, jnp.int32(10**6), 0.999)["x"], 0.001, rtol=1e-4)


def test_schedules_warm_up_and_decay():
    schedule = make_schedule(
        Optimizer(learning_rate=1.0, warmup_steps=10, schedule="cosine", final_fraction=0.1), 110
    )
    values = [float(schedule(step)) for step in (0, 5, 10, 60, 110, 200)]
    np.testing.assert_allclose(values, [0, 0.5, 1, 0.55, 0.1, 0.1], atol=1e-6)
    linear = make_schedule(Optimizer(learning_rate=1.0, schedule="linear", final_fraction=0.5), 100)
    np.testing.assert_allclose([float(linear(step)) for step in (0, 50, 100)], [1, 0.75, 0.5])


@pytest.mark.parametrize("weighting", ["x0", "min_snr"])
def test_the_weight_does_not_depend_on_the_parametrisation(weighting):
    """An error of x0 has the same weight whether the network predicts x0, epsilon or v."""
    schedule, t = Schedule(), jnp.array([0, 300, 600, 999])
    alpha = schedule.alpha_bar[np.asarray(t)]
    snr = alpha / (1 - alpha)
    # d(epsilon) = -alpha / sigma d(x0), and d(v) = -1 / sigma d(x0), at a given z
    in_x0 = {"x0": np.ones(4), "epsilon": snr, "v": 1 / (1 - alpha)}
    for prediction, per_x0 in in_x0.items():
        weights = np.asarray(loss_weights(weighting, schedule, prediction, t))
        target = np.minimum(snr, 5) if weighting == "min_snr" else np.ones(4)
        np.testing.assert_allclose(weights * per_x0, target, rtol=2e-3, err_msg=prediction)
    assert snr[0] > 5 > snr[2]


def test_importance_sampling_gives_the_weighted_mean_with_lower_variance():
    weights, errors = jnp.array([0.0, 0.1, 0.4, 0.0, 0.5]), np.array([9.0, 1.0, 2.0, 9.0, 4.0])
    draw = jax.jit(lambda key: importance_timesteps(key, 8, weights))
    drawn = errors[np.stack([draw(jax.random.key(i)) for i in range(2000)])]
    expected = float((weights * errors).sum() / weights.sum())
    independent = ((weights * (errors - expected) ** 2).sum() / weights.sum() / 8) ** 0.5  # of a mean of 8
    means = drawn.mean(1)
    assert abs(means.mean() - expected) < 4 * means.std() / 2000**0.5
    assert means.std() < independent / 2
    assert drawn.max() == 4  # nothing of weight 0


@pytest.mark.parametrize("timesteps", ["uniform", "importance"])
def test_no_timestep_below_the_lowest_is_trained_and_the_others_as_before(tmp_path, timesteps):
    task = build_task(one_stage(tmp_path, loss_weighting="x0", timestep_sampling=timesteps))
    lowest, steps = 700, task.composer.schedule.timesteps
    draw = jax.jit(jax.vmap(lambda key: task._timesteps(key, 8, lowest)))
    t, weights = jax.device_get(draw(jax.random.split(jax.random.key(0), 2000)))
    assert lowest <= t.min() < lowest + 10
    assert steps - 10 <= t.max() < steps
    errors = np.arange(steps) / steps
    means = (errors[t] * np.reshape(weights, (2000, -1))).mean(1)
    expected = (errors * np.asarray(task._weights))[lowest:].mean()
    assert abs(means.mean() - expected) < 4 * means.std() / 2000**0.5


def test_single_images_have_their_own_conditions(tmp_path):
    stage = {"images_every": 2, "image_batch_size": 4, "image_conditions": ["text"]}
    run = one_stage(tmp_path, stage)
    task = build_task(run)
    parameters, frozen = jax.eval_shape(task.init, jax.random.key(0)), task.frozen()

    def conditions_of(count, frames):
        picked = task.source.pick("train", np.arange(count, dtype=np.int32), frames)
        loss = partial(task.loss, key=jax.random.key(0), stage=run.stages[0])
        return {
            name
            for name in jax.eval_shape(loss, parameters, frozen, picked).counts
            if name.startswith("loss_with_")
        }

    assert conditions_of(4, 1) == {"loss_with_text"}
    assert conditions_of(2, 3) == {f"loss_with_{name}" for name in task.composer.conditions}


@pytest.mark.slow
def test_a_step_on_images_leaves_the_temporal_layers_and_their_moments_as_they_are(tmp_path):
    stage = {"images_every": 1, "image_batch_size": 2, "conditions": ["text"]}
    run = one_stage(tmp_path, stage)
    task = build_task(run)
    setup = set_up(run, task)
    frozen = setup.frozen(task.frozen())
    state = setup.create_state(task.init(jax.random.key(0, impl="unsafe_rbg")), 0)
    state = jax.tree.map(
        lambda x: x + 0.01 if x.dtype == jnp.float32 else x, state
    )  # moments of earlier steps
    before = jax.tree.map(np.asarray, (state.parameters, state.optimizer))
    batch = setup.batch(next(task.batches(run.stages[0], 0, 0)), images=True)
    after, _ = make_step(task, setup, 0)(state, frozen, batch)
    pairs = zip(
        jax.tree.leaves_with_path(before),
        jax.tree.leaves((after.parameters, after.optimizer)),
        strict=True,
    )
    temporal, moved = 0, 0
    for (path, old), new in pairs:
        if "temporal" in keystr(path):
            temporal += 1
            np.testing.assert_array_equal(new, old, err_msg=keystr(path))
        else:
            moved += bool(np.any(np.asarray(new) != old))
    assert temporal > 30
    assert moved > 50


@pytest.mark.slow
def test_four_clips_can_be_overfitted(tmp_path):
    config = load_file("smoke")
    config.sprites, config.out = {"fixed_clips": 4}, str(tmp_path)
    config.model.clip.frames = 2
    config.stages = config.stages[1:]
    stage = config.stages[0]
    stage.steps, stage.batch_size = 300, 8
    stage.dropout = {"drop_all": 0.0, "keep_all": 1.0}
    run = run_from_config(plain(config))
    task = build_task(run)
    setup = set_up(run, task)
    step, frozen = make_step(task, setup, 0), setup.frozen(task.frozen())
    state = setup.create_state(task.init(jax.random.key(0, impl="unsafe_rbg")), 0)
    losses = []
    for batch, _ in zip(task.batches(run.stages[0], 0, 0), range(run.steps), strict=False):
        state, metrics = step(state, frozen, batch)
        losses.append(metrics["loss"])
    losses = np.array(jax.device_get(losses))
    assert losses[-50:].mean() < losses[0] / 4
