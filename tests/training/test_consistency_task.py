"""Consistency distillation: its loss in closed form, what it trains, and the model that it exports."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from tests.training.runs import MODEL, small_parts, table
from vcjax.diffusion.lcm import boundary
from vcjax.errors import BadInput
from vcjax.training.build import build_task
from vcjax.training.config import run_from_config
from vcjax.training.export import export
from vcjax.training.loop import train
from vcjax.weights.folder import read_config, write_component, write_config

FAST = {"steps": 4, "guidance": 1.0, "sampler": "lcm"}
STAGE = {"name": "consistency", "steps": 2, "batch_size": 4, "trainable": ["unet/"]}


def config(folder, stage=None, **changes):
    parts = folder / "parts"
    if not parts.exists():
        small_parts(parts)
        model, table_of_files = vcjax.load(str(parts)), read_config(parts)
        for name in ("unet", "tokens", "stc"):
            tree = (
                {map_: model.parameters(name, map_) for map_ in ("image", "motion", "depth")}
                if name == "stc"
                else model.parameters(name)
            )
            files = table_of_files.setdefault("files", {})
            files[name] = write_component(parts, name, jax.tree.map(np.asarray, tree), "float32")
        write_config(parts, table_of_files)
    changes = {
        "task": "consistency", "init_from": str(parts), "model": {**MODEL, "name": "fast", "defaults": FAST},
        "distillation": {"steps": 20, "guidance": 3.0}, **changes,
    }  # fmt: skip
    return run_from_config(table(folder, stages=[{**STAGE, **(stage or {})}], **changes))


@pytest.mark.slow
def test_the_loss_of_a_network_that_predicts_zero(tmp_path):
    """With v = 0 all is in closed form: x0 = alpha z, epsilon = sigma z, whatever the conditions and the guidance."""
    run = config(tmp_path)
    task = build_task(run)
    parameters = task.init(jax.random.key(0, impl="unsafe_rbg"))  # the head is zero at first
    frozen = task.frozen()
    frozen["teacher"] = parameters["unet"]
    batch = jax.tree.map(jnp.asarray, next(task.batches(run.stages[0], 0, 0)))
    key = jax.random.key(3)
    loss = jax.jit(lambda p, f, b: task.loss(p, f, b, key, run.stages[0]))(parameters, frozen, batch)

    keys = jax.random.split(key, 6)
    x0 = np.asarray(task.encode(frozen, task.source.training_batch(batch, keys[0]), keys[1]))
    t = np.asarray(50 * jax.random.randint(keys[2], (4,), 1, 21) - 1)
    alpha_bar = task.composer.schedule.alpha_bar
    alpha, sigma = (
        lambda i: np.sqrt(alpha_bar[i]).reshape(-1, 1, 1, 1, 1),
        lambda i: np.sqrt(1 - alpha_bar[i]).reshape(-1, 1, 1, 1, 1),
    )
    z = alpha(t) * x0 + sigma(t) * np.asarray(jax.random.normal(keys[3], x0.shape))
    s = np.maximum(t - 50, 0)

    def end(z, t):
        c_skip, c_out = (c.reshape(-1, 1, 1, 1, 1) for c in boundary(t))
        return c_skip * z + c_out * alpha(t) * z

    z_s = (alpha(s) * alpha(t) + sigma(s) * sigma(t)) * z
    distances = np.square(end(z, t) - end(z_s, s)).mean((1, 2, 3, 4))
    c = run.distillation.huber
    np.testing.assert_allclose(loss.value, (np.sqrt(distances + c**2) - c).mean(), rtol=1e-4)
    assert float(sum(loss.counts.values())) == 4


@pytest.mark.slow
def test_the_teacher_is_guided_and_the_unet_alone_is_trained(tmp_path):
    run = config(tmp_path)
    task = build_task(run)
    key = jax.random.key(0, impl="unsafe_rbg")
    noisy = jax.tree.map(
        lambda x: x + 0.05 * jax.random.normal(jax.random.key(x.size), x.shape), task.init(key)
    )
    frozen, batch = task.frozen(), jax.tree.map(jnp.asarray, next(task.batches(run.stages[0], 0, 0)))
    stage = dataclasses.replace(
        run.stages[0], dropout=dataclasses.replace(run.stages[0].dropout, drop_all=0.0, keep_all=1.0)
    )

    def loss(parameters, guidance):
        unet, guided = parameters["unet"], dataclasses.replace(run.distillation, guidance=guidance)
        task._distillation = guided
        given = {**frozen, "teacher": parameters["teacher"]}
        return task.loss({**noisy, "unet": unet}, given, batch, jax.random.key(1), stage).value

    parameters = {"unet": noisy["unet"], "teacher": noisy["unet"]}
    value, gradient = jax.jit(jax.value_and_grad(partial(loss, guidance=3.0)))(parameters)
    assert abs(value - jax.jit(partial(loss, guidance=1.0))(parameters)) > 1e-5
    assert all(np.abs(x).max() == 0 for x in jax.tree.leaves(gradient["teacher"]))
    assert np.abs(gradient["unet"]["conv_in"]["kernel"]).max() > 0


@pytest.mark.slow
def test_a_run_exports_a_model_that_samples_in_four_steps_of_one_branch(tmp_path):
    run = config(tmp_path)
    assert train(run, build_task(run)) == 2
    export(tmp_path / "run", tmp_path / "model")
    composer = vcjax.load(str(tmp_path / "model"))
    assert (composer.name, composer.defaults.sampler, composer.defaults.steps) == ("fast", "lcm", 4)
    teacher = vcjax.load(run.init_from)
    for name, changed in (("unet", True), ("tokens", False)):
        pairs = zip(
            jax.tree.leaves(composer.parameters(name)), jax.tree.leaves(teacher.parameters(name)), strict=True
        )
        difference = max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)
        assert (difference > 2e-3) == changed, (name, difference)
    assert composer(text="a red circle").frames.shape == (3, 16, 16, 3)


@pytest.mark.parametrize(
    ("changes", "stage", "message"),
    [
        ({"init_from": "tiny"}, {}, "config.init_from must be config.frozen_from for task consistency"),
        ({}, {"trainable": []}, r"must have trainable=\('unet/',\) and no images"),
        ({"distillation": {"steps": 7}}, {}, "config.distillation.steps must divide 1000"),
        ({"distillation": {"steps": 0}}, {}, "steps must be at least 1"),
    ],
)
def test_what_cannot_be_distilled_is_refused(tmp_path, changes, stage, message):
    with pytest.raises(BadInput, match=message):
        build_task(config(tmp_path, stage, **changes))
