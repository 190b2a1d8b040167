"""The loader: a batch is a function of seed and step, and an epoch has each record once."""

import itertools
import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.data.datasets import make_dataset
from vcjax.data.loader import BatchSchedule, Loader
from vcjax.data.records import PreparedDataset
from vcjax.errors import BadInput
from vcjax.parallel.batches import ProcessShard

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60  # seconds


def numbered(record, rng):
    """Return a sample with the record's number and a random number."""
    return {"record": np.int32(record), "drawn": np.float32(rng.random())}


def features(record, rng):
    """Return a sample of a prepared record."""
    conditions = record["conditions"]
    return {"mean": record["mean"], "motion": conditions["motion"], "drawn": np.float32(rng.random())}


def loader(count=23, **changes):
    options = {"transform": numbered, "schedule": BatchSchedule(batch_size=4), "seed": 5, **changes}
    return Loader(range(count), range(1000, 1000 + count), **options)


def take(batches, count):
    """Return the first `count` batches, and close the iterator."""
    with closing(batches):
        return list(itertools.islice(batches, count))


def assert_same(some, others):
    assert len(some) == len(others) > 0
    for a, b in zip(some, others, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_an_epoch_has_each_record_once_in_another_order_each_time():
    batches = take(loader().batches(), 23)  # four epochs, since a batch has 4 of the 23
    epochs = np.concatenate([batch["record"] for batch in batches]).reshape(4, 23)
    assert (np.sort(epochs) == np.arange(23)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4
    drawn = np.concatenate([batch["drawn"] for batch in batches])
    assert len(set(drawn)) == len(drawn)  # random numbers differ between epochs too


def test_processes_load_disjoint_shards_of_each_batch():
    full = loader()
    shards = [loader(shard=ProcessShard((index,), 2)) for index in range(2)]
    seen = []
    for step in range(23):
        parts = [shard[step] for shard in shards]
        assert [len(part["record"]) for part in parts] == [2, 2]
        assert_same([jax.tree.map(lambda *x: np.concatenate(x), *parts)], [full[step]])
        seen += [*parts[0]["record"], *parts[1]["record"]]
    assert (np.sort(np.reshape(seen, (4, 23))) == np.arange(23)).all()


def test_batches_of_images_alternate_with_clips_and_neither_skips_a_record():
    mixed = loader(schedule=BatchSchedule(batch_size=4, images_every=3, image_batch_size=6))
    batches = [mixed[step]["record"] for step in range(12)]
    is_images = [bool((batch >= 1000).all()) for batch in batches]
    assert is_images == [False, False, True] * 4
    clips = np.concatenate([b for b, images in zip(batches, is_images, strict=True) if not images])
    images = np.concatenate([b for b, images in zip(batches, is_images, strict=True) if images])
    assert len(clips) == 32
    assert sorted(clips[:23]) == list(range(23))
    assert len(images) == 24
    assert sorted(images[:23]) == list(range(1000, 1023))


def test_another_seed_is_another_order():
    assert not np.array_equal(loader(seed=1)[0]["record"], loader(seed=2)[0]["record"])


@pytest.mark.parametrize(
    "options", [{"threads": 1}, {"threads": 4}, {"workers": 1}, {"workers": 2, "threads": 1}]
)
def test_the_batches_do_not_depend_on_workers_and_threads(tmp_path, options):
    records = PreparedDataset(make_dataset(tmp_path, {"train": 7})).split("train", only=["motion"])
    reference = Loader(records, transform=features, schedule=BatchSchedule(batch_size=3), seed=0)
    batches = take(reference.batches(4, **options), 10)
    assert batches[0]["mean"].shape == (3, 3, 4, 4, 4)
    assert_same(batches, [reference[step] for step in range(4, 14)])


def test_a_resumed_loader_continues_with_the_same_batches():
    schedule = BatchSchedule(batch_size=4, images_every=5, image_batch_size=8)
    uninterrupted = take(loader(schedule=schedule).batches(), 137)
    assert_same(take(loader(schedule=schedule).batches(37), 100), uninterrupted[37:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"count": 0}, "4 clips, but the data set has none"),
        ({"shard": ProcessShard((0,), 3)}, "4 clips must be a multiple of the 3 shards"),
    ],
)
def test_batches_that_cannot_be_loaded_are_errors(changes, message):
    with pytest.raises(BadInput, match=message):
        loader(**changes)


def test_batches_of_images_need_images():
    schedule = BatchSchedule(batch_size=4, images_every=3, image_batch_size=6)
    with pytest.raises(BadInput, match="6 images, but the data set has none"):
        Loader(range(9), transform=numbered, schedule=schedule, seed=0)


KILLED = """
import multiprocessing, time
from tests.data.test_loader import loader

if __name__ == "__main__":
    batches = loader().batches(workers=2)
    for _ in range(2):  # one batch per worker, so that both have started
        next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_workers_ignore_sigterm_and_exit_with_the_parent(tmp_path):
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment
    ) as run:
        workers = [int(pid) for pid in run.stdout.readline().split()]
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        time.sleep(0.5)
        running = [is_running(pid) for pid in workers]
        run.kill()  # before any assertion: Popen would wait for it
    assert running == [True, True]
    until = time.monotonic() + TIMEOUT
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid):
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
