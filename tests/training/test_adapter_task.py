"""Task adapters: what it trains, that it resumes exactly, and what it exports."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vcjax
from tests.training.runs import MODEL, small_parts, table
from vcjax.errors import BadInput
from vcjax.training.build import build_task
from vcjax.training.checkpoints import Checkpoints
from vcjax.training.config import run_from_config
from vcjax.training.export import export
from vcjax.training.loop import train
from vcjax.training.setup import set_up
from vcjax.weights.adapters import read_adapter
from vcjax.weights.folder import read_config, write_component, write_config
from vcjax.weights.trees import flatten

STAGE = {"name": "adapters", "steps": 4, "batch_size": 4}
ADAPTERS = {"rank": 2, "alpha": 4.0, "dropout": 0.1, "layers": ["middle_*"]}
SEEN = ("image", "motion", "depth")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model folder with weights of its own for every network; those that begin as zeros are not zero."""
    folder = tmp_path_factory.mktemp("base") / "parts"
    small_parts(folder)
    model, config = vcjax.load(str(folder)), read_config(folder)
    for name in ("unet", "tokens", "stc"):
        tree = {n: model.parameters(name, n) for n in SEEN} if name == "stc" else model.parameters(name)
        noise = np.random.default_rng(0)
        tree = jax.tree.map(
            lambda x, r=noise: np.asarray(x) + 0.05 * r.normal(size=x.shape).astype(np.float32), tree
        )
        config.setdefault("files", {})[name] = write_component(folder, name, tree, "float32")
    write_config(folder, config)
    return folder


def config(base, out, stage=None, **changes):
    changes = {"task": "adapters", "frozen_from": str(base), "model": MODEL, "adapters": ADAPTERS, **changes}
    return run_from_config(table(out, stages=[{**STAGE, **(stage or {})}], save_every=2, **changes))


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    run = config(base, tmp_path_factory.mktemp("trained"), sample_every=4)
    assert train(run, build_task(run)) == 4
    assert list(Path(run.out).rglob("*.mp4"))  # a sample, with the adapters
    return run


def state_of(run):
    setup = set_up(run, build_task(run))
    with Checkpoints(Path(run.out) / "checkpoints", run.keep_checkpoints) as checkpoints:
        return checkpoints.restore(checkpoints.latest, setup.shapes_at(checkpoints.latest))


@pytest.mark.slow
def test_only_adapters_are_trained_and_have_an_optimiser(trained):
    state = state_of(trained)
    names = flatten(state.parameters)
    assert all(name.startswith("adapters/middle_") for name in names)
    assert all(float(jnp.abs(x).max()) > 0 for x in names.values())
    kept = sum(x.size for x in jax.tree.leaves(state.optimizer))
    assert kept <= 2 * sum(x.size for x in names.values()) + 4  # Adam's moments and counts


@pytest.mark.slow
def test_a_resumed_run_is_the_uninterrupted_one_to_the_bit(base, trained, tmp_path):
    run = config(base, tmp_path)
    short = config(base, tmp_path, log_every=50)

    class Stopped(Exception):
        pass

    task = build_task(short)
    batches = task.batches

    def two_batches(stage, begin, first):
        for i, batch in enumerate(batches(stage, begin, first)):
            if i == 3:
                raise Stopped
            yield batch

    task.batches = two_batches
    with pytest.raises(Stopped):
        train(short, task)
    assert train(run, build_task(run)) == 4
    resumed, whole = flatten(state_of(run).parameters), flatten(state_of(trained).parameters)
    for name, x in whole.items():
        np.testing.assert_array_equal(resumed[name], x)


@pytest.mark.slow
def test_the_file_names_its_base_and_the_merged_model_samples_the_same(base, trained, tmp_path):
    file, folder = tmp_path / "look.safetensors", tmp_path / "merged"
    export(Path(trained.out), file)
    adapter = read_adapter(file)
    assert adapter.scale == 2.0
    assert adapter.base["name"] == json.loads((base / "config.json").read_text())["name"]
    export(Path(trained.out), folder, merge=True, dtype="float32")
    request = {"text": "a red circle", "steps": 2}
    plain = vcjax.load(str(base))(**request).frames
    adapted = vcjax.load(str(base))(**request, adapters={str(file): 1.0}).frames
    merged = vcjax.load(str(folder))(**request).frames
    np.testing.assert_array_equal(adapted, merged)
    assert (plain != adapted).any()
    halves = vcjax.load(str(base))(**request, adapters={str(file): 0.0}).frames
    np.testing.assert_array_equal(halves, plain)
    composer = vcjax.load(str(base))
    again = [composer(**request, adapters={str(file): x}).frames for x in (1.0, 0.5, 1.0)]
    np.testing.assert_array_equal(again[0], again[2])
    assert (again[0] != again[1]).any()
    np.testing.assert_array_equal(composer(**request).frames, plain)  # the model itself is not changed


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"init_from": "tiny"}, "config.init_from must be empty for task adapters"),
        ({"adapters": {"layers": ["attention"]}}, "no layer has a name like 'attention'"),
        ({"adapters": {"rank": 0}}, "adapters need a rank of at least 1"),
        ({"adapters": {"ranks": 2}}, "config.adapters has no setting 'ranks'"),
    ],
)
def test_bad_settings_are_one_sentence(base, tmp_path, changes, message):
    def begin():
        run = config(base, tmp_path, **changes)
        set_up(run, build_task(run))

    with pytest.raises(BadInput, match=message):
        begin()


@pytest.mark.slow
def test_bad_exports_are_one_sentence(trained, tmp_path):
    with pytest.raises(BadInput, match="adapters are written to a file"):
        export(Path(trained.out), tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
