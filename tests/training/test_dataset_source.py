"""Training from a prepared data set: batches hold its records, missing data is reported first, a killed run resumes."""

import json
import signal

import numpy as np
import pytest

from tests.data.datasets import make_dataset
from tests.training.runs import MODEL, same, table
from tests.training.test_loop import last_state, lines
from tests.training.test_resume import finish, logged_steps, start, wait_for
from vcjax.data.records import PreparedDataset
from vcjax.errors import BadInput
from vcjax.training.build import build_task
from vcjax.training.config import run_from_config

SPLITS = {"train": 7, "validation": 2, "train_images": 5}
ONE = {"name": "only", "steps": 1, "batch_size": 2}
MODEL_WITH_MASK = {**MODEL, "conditions": {**MODEL["conditions"], "mask": {}}}


def from_files(tmp_path, **changes):
    """The configuration of a small run of two stages from files, as a plain table."""
    data = tmp_path / "data"
    if not data.exists():
        make_dataset(data, SPLITS)
    return table(tmp_path, **{"data": str(data), "model": MODEL_WITH_MASK, **changes})


def test_a_batch_holds_the_records(tmp_path):
    run = run_from_config(from_files(tmp_path))
    task = build_task(run)
    records = list(PreparedDataset(run.data).split("train"))
    first, second = run.stages
    batch = next(task.batches(second, 5, 5))
    assert batch.frames is None
    assert set(batch.maps) == {"image", "motion", "depth", "mask"}
    assert set(batch.vectors) == {"style"}
    for row in range(second.batch_size):
        (record,) = [r for r in records if np.array_equal(r["mean"], batch.posterior.mean[row])]
        np.testing.assert_array_equal(batch.posterior.std[row], record["std"])
        np.testing.assert_array_equal(batch.ids[row], record["conditions"]["text"])
        np.testing.assert_array_equal(batch.vectors["style"][row], record["conditions"]["style"])
        np.testing.assert_array_equal(batch.maps["motion"][row], record["conditions"]["motion"])
        frames, visible = batch.maps["mask"][row, ..., :3], batch.maps["mask"][row, ..., 3:]
        assert set(np.unique(visible)) == {0, 1}
        np.testing.assert_array_equal(frames, record["conditions"]["mask"] * visible)

    batches = task.batches(first, 0, 0)
    first_batches = [next(batches) for _ in range(3)]
    batches.close()
    assert [b.posterior.mean.shape[:2] for b in first_batches] == [
        (2, 3),
        (2, 3),
        (4, 1),
    ]  # the third is of single images
    assert not first_batches[0].maps  # a stage with text only decodes nothing else


def test_masks_differ_from_clip_to_clip_and_from_epoch_to_epoch(tmp_path):
    stage = {"name": "only", "steps": 4, "batch_size": 7}
    run = run_from_config(from_files(tmp_path, stages=[stage]))
    task = build_task(run)
    batches = task.batches(run.stages[0], 0, 0)
    masks = np.concatenate([next(batches).maps["mask"][:, 0, ..., 3] for _ in range(2)])
    batches.close()
    assert len({mask.tobytes() for mask in masks}) > 10  # of 14


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "nowhere"}, "nowhere is not a prepared data set"),
        ({"task": "autoencoder"}, "config.data is for tasks diffusion, consistency and adapters"),
        ({"loader": {"workers": -1}}, "config.loader.workers"),
        (
            {"model": {**MODEL_WITH_MASK, "clip": {**MODEL["clip"], "frames": 4}}},
            "has clips of",
        ),
        (
            {"model": {**MODEL_WITH_MASK, "conditions": {**MODEL["conditions"], "sketch": {}}}},
            "takes sketch, but .* was prepared without it",
        ),
        (
            {
                "model": {
                    **MODEL_WITH_MASK,
                    "conditions": {**MODEL["conditions"], "motion": {"form": "blocks"}},
                }
            },
            "takes motion as .*: prepare it for this model",
        ),
        ({"stages": [{**ONE, "frames": 2}]}, "frames must be 0 or 3"),
        (
            {
                "stages": [
                    {**ONE, "images_every": 1, "image_batch_size": 2, "sprites": {"image_scenes": "simple"}}
                ]
            },
            "sprites selects clips of the sprite world",
        ),
    ],
)
def test_missing_data_is_reported_before_anything_is_compiled(tmp_path, changes, said):
    with pytest.raises(BadInput, match=said) as error:
        build_task(run_from_config({**from_files(tmp_path), **changes}))
    assert "\n" not in str(error.value)


def test_missing_images_and_missing_shards_are_reported(tmp_path):
    data = make_dataset(tmp_path / "clips", {"train": 3})
    with pytest.raises(BadInput, match="4 images, but the data set has none"):
        build_task(run_from_config({**from_files(tmp_path), "data": str(data)}))
    next(data.glob("clips-train*00001-of*")).unlink()
    with pytest.raises(BadInput, match="is missing"):
        build_task(run_from_config({**from_files(tmp_path), "data": str(data)}))


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_result(tmp_path):
    stages = [{"name": "only", "steps": 8, "batch_size": 2, "images_every": 4, "image_batch_size": 4}]
    settings = from_files(tmp_path, stages=stages, save_every=3)

    def config(name, **changes):
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps({**settings, "out": str(tmp_path / name), **changes}))
        return path, tmp_path / name

    path, whole = config("whole")
    assert finish(path) == 8
    run = run_from_config(json.loads(path.read_text()))
    task = build_task(run)

    path, killed = config("killed", loader={"workers": 2})
    process = start(path)
    wait_for(process, lambda: logged_steps(killed) >= 5)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert logged_steps(killed) < 8
    assert finish(path) == 8
    assert same(last_state(run, task), last_state(run, task, killed))
    losses = {line["step"]: line["loss"] for line in lines(killed)}
    assert losses == {line["step"]: line["loss"] for line in lines(whole)}
    assert all(np.isfinite(loss) for loss in losses.values())
