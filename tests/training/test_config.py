"""Configurations: every file of configs/ is a run, every leaf can be overridden, bad values are one sentence each."""

import ast
import shlex
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from tests.training.runs import MODEL, table
from vcjax.composer.extension import extend
from vcjax.errors import BadInput
from vcjax.training.build import build_task
from vcjax.training.config import Optimizer, run_from_config
from vcjax.training.config_files import known_configs, leaves, override_lines, plain, read_config, read_run
from vcjax.training.optimizer import make_optimizer
from vcjax.training.setup import set_up

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", known_configs())
def test_every_configuration_is_a_run_with_purpose_command_time_and_result(name, tmp_path):
    text = (ROOT / "configs" / f"{name}.py").read_text()
    description = ast.get_docstring(ast.parse(text)) or ""
    for heading in ("Purpose:", "Command:", "Time:", "Result:", f"--config={name}"):
        assert heading in description
    if name == "condition":  # of a model folder that `vcjax extend` has written
        extend("tiny", "examples.canny:Canny", tmp_path / "canny")
        name = f"condition:{tmp_path / 'canny'}"
    run = read_run([f"--config={name}"])
    assert run.steps > 0
    if run.frozen_from == "tiny":
        assert set_up(run, build_task(run)).shapes


def test_a_configuration_can_be_a_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text((ROOT / "configs" / "smoke.py").read_text())
    assert read_run([f"--config={path}"]) == read_run(["--config=smoke"])


def test_the_command_line_overrides_single_values():
    run = read_run(
        ["--config=sprites", "--config.optimizer.learning_rate=3e-4", "--config.stages[1].steps=7"]
    )
    assert [stage.optimizer.learning_rate for stage in run.stages] == [3e-4, 3e-4]
    assert run.stages[1].steps == 7
    assert run.stages[1].optimizer.schedule == "cosine"  # a key of the stage precedes the run's


@pytest.mark.parametrize("name", ["videocomposer", "sprites"])
def test_every_leaf_can_be_overridden_and_printed_lines_give_the_same_run(name):
    config, _ = read_config([f"--config={name}"])
    printed = [shlex.split(line)[0] for line in override_lines(config)]
    paths = [path for path, _ in leaves(plain(config))]
    assert len(printed) == len(paths) > 150
    for part in ("model.networks.unet.base_channels", "model.schedule.beta_start", "stages[0].dropout.drop_all",
                 "optimizer.learning_rate", "stages[1].sprites.fixed_clips", "mesh.fsdp"):  # fmt: skip
        assert part in paths
    assert plain(read_config([f"--config={name}", *printed])[0]) == plain(config)


def changed(value):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    return f"{value}x" if isinstance(value, str) else (*value, *value, "x")


def test_an_override_of_each_leaf_changes_that_leaf():
    config, _ = read_config(["--config=videocomposer"])
    before = dict(leaves(plain(config)))
    linked = {"optimizer", "sprites"}  # keys of the run that stages refer to
    for path, value in before.items():
        if value is None:
            continue
        text = changed(value) if isinstance(value, str) else repr(changed(value))
        after = dict(leaves(plain(read_config(["--config=videocomposer", f"--config.{path}={text}"])[0])))
        differing = {other for other in after if after[other] != before.get(other)}
        assert path in differing, path
        if path.split(".")[0] not in linked:
            assert differing == {path}, path


def with_stage(**changes):
    return {"stages": [{"name": "only", "steps": 4, "batch_size": 2, **changes}]}


def with_networks(**changes):
    networks = {name: {**MODEL["networks"][name], **fields} for name, fields in changes.items()}
    return {"model": {**MODEL, "networks": {**MODEL["networks"], **networks}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": 1}, "'colour'"),
        ({"seed": -1}, "config.seed"),
        ({"seed": 1.5}, "config.seed"),
        ({"ema_decay": 1.0}, "config.ema_decay"),
        ({"stages": []}, "config.stages"),
        ({"stages": ["first"]}, "config.stages"),
        ({"keep_checkpoints": 0}, "config.keep_checkpoints"),
        ({"first_stage": 1}, "config.init_from must name a model folder"),
        ({"first_stage": 2}, "config.first_stage"),
        ({"loss_weighting": "snr"}, "constant, x0, min_snr"),
        ({"optimizer": {"schedule": "step"}}, "constant, cosine, linear"),
        ({"optimizer": 3}, "optimizer"),
        (with_stage(steps=0), "config.stages[0].steps"),
        (with_stage(batch_size=3, gradient_accumulation=2), "multiple of gradient_accumulation = 2"),
        (with_stage(images_every=3), "belong together"),
        (with_stage(sprites={"image_scenes": "easy"}), "all, simple"),
        (with_stage(image_min_timestep=-1), "image_min_timestep"),
        (with_stage(image_conditions=["text"]), "set images_every and image_batch_size too"),
        (with_stage(dropout={"drop_all": 0.6, "keep_all": 0.6}), "at most 1"),
        (with_stage(dropout={"sparse": 0.8, "keep_all": 0.3}), "at most 1"),
        (with_stage(dropout={"per_condition": {"depth": 1.5}}), "probabilities"),
        (with_stage(optimizer={"max_grad_norm": -1.0}), "0 or more"),
        ({"model": {**MODEL, "networks": {"unit": {}}}}, "unit"),
        (
            with_networks(autoencoder={"latent_channels": 8}),
            "networks.unet.latent_channels = 4 must equal networks.autoencoder.latent_channels = 8",
        ),
        (
            with_networks(tokens={"token_dim": 24}),
            "networks.tokens.token_dim = 24 must equal networks.text.width = 16",
        ),
        (
            with_networks(vision={"embed_dim": 32}),
            "conditions.style.embed_dim = 16 must equal networks.vision.embed_dim = 32",
        ),
        (with_networks(unet={"norm_groups": 5}), "networks.unet"),
        (
            {"model": {**MODEL, "clip": {**MODEL["clip"], "height": 18}}},
            "clip.height = 18 must be a multiple of",
        ),
    ],
)
def test_bad_values_are_named_before_anything_is_traced(tmp_path, changes, message, monkeypatch):
    monkeypatch.setattr("jax.eval_shape", lambda *_, **__: pytest.fail("traced"))
    with pytest.raises(BadInput) as error:
        run_from_config(table(tmp_path, **changes))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "painting"}, "autoencoder, clip, depth, sketch, diffusion"),
        ({"frozen_from": "nowhere"}, "nowhere"),
        ({"model": {**MODEL, "clip": {**MODEL["clip"], "width": 24}}}, "square"),
        (with_stage(conditions=["smell"]), "smell"),
        (
            with_stage(images_every=2, image_batch_size=2, image_min_timestep=1000),
            "image_min_timestep must be below 1000",
        ),
        (with_stage(dropout={"per_condition": {"smell": 0.5}}), "smell"),
        (with_stage(trainable=["unet/nothing"]), "unet/nothing"),
        ({**with_stage(frames=2), "sprites": {"fixed_clips": 4}}, "frames must be 0, 1 or 3"),
        (with_stage(optimizer={"name": "steepest"}), "steepest"),
        (with_stage(optimizer={"name": "sgd", "weight_decay": 0.1}), "weight decay"),
        (with_stage(optimizer={"options": {"beta": 1}}), "optax.adamw has no argument 'beta': it has b1, b2"),
        (with_stage(optimizer={"options": {"mu_dtype": "bf16"}}), "mu_dtype must be a type such as float32"),
    ],
)
def test_what_cannot_be_trained_is_named_before_anything_is_compiled(tmp_path, changes, message):
    run = run_from_config(table(tmp_path, **changes))
    with pytest.raises(BadInput) as error:
        set_up(run, build_task(run))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_the_optimizer_takes_the_arguments_of_its_optax_function():
    """The first update of Adam is the learning rate times g / (|g| + eps); mu_dtype is the type of the first moment."""
    parameters, gradients = {"x": jnp.ones((2, 2))}, {"x": jnp.full((2, 2), 0.5)}
    trained = {"x": True}
    options = {"b1": 0.5, "b2": 0.9, "eps": 0.5, "mu_dtype": "bfloat16"}
    optimizer = make_optimizer(Optimizer(learning_rate=1.0, max_grad_norm=0.0, options=options), 10, trained)
    state = optimizer.init(parameters)
    updates, _ = optimizer.update(gradients, state, parameters)
    np.testing.assert_allclose(updates["x"], -0.5 / (0.5 + 0.5), rtol=1e-3)
    assert "bfloat16" in str(state)
    default = make_optimizer(Optimizer(learning_rate=1.0, max_grad_norm=0.0), 10, trained)
    assert "bfloat16" not in str(default.init(parameters))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config=nothing"], "there is no 'nothing' among ablations"),
        (["--config=nothing.py"], "there is no file nothing.py"),
        (["--config=smoke", "--config.colour=1"], "no key colour"),
        (["--config=smoke", "--config.optimizer.colour=1"], "no key colour"),
        (["--config=smoke", "--config.seed=red"], "'red'"),
        (["--config=smoke", "--config.stages[2].steps=1"], "N counts from 0"),
        (["--confg=smoke"], "needs --config=NAME or --config=FILE"),
        (["--config=smoke", "--cnfig.seed=1"], "cnfig.seed"),
        ([], "needs --config=NAME or --config=FILE"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(arguments, message):
    with pytest.raises(BadInput) as error:
        read_config(arguments)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_wrong_command_line_ends_with_exit_code_2():
    command = [sys.executable, "-m", "vcjax.training", "--config=smoke", "--config.seed=red"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, done.stderr


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_the_help_lists_the_configurations(option):
    command = [sys.executable, "-m", "vcjax", "train", option]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in known_configs():
        assert name in done.stdout


def test_a_state_belongs_to_the_stage_whose_steps_it_ends(tmp_path):
    run = run_from_config(table(tmp_path))
    assert [run.stage_at(done) for done in (0, 4, 5, 6, 10)] == [0, 0, 0, 1, 1]
    later = run_from_config(table(tmp_path, first_stage=1, init_from="folder"))
    assert [later.stage_at(done) for done in (5, 6)] == [1, 1]
