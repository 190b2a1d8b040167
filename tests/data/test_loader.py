"""The loader: a batch is a function of seed and step, whoever makes it; an epoch shows each record once."""

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
from vcjax.data.loader import Loader, Mix
from vcjax.data.records import Prepared
from vcjax.errors import BadInput
from vcjax.parallel.batches import Share

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60  # seconds


def numbered(record, rng):
    """A sample that says which record it is of, with something drawn at random."""
    return {"record": np.int32(record), "drawn": np.float32(rng.random())}


def stored(record, rng):
    """A sample of a prepared record."""
    conditions = record["conditions"]
    return {"mean": record["mean"], "motion": conditions["motion"], "drawn": np.float32(rng.random())}


def loader(count=23, **changes):
    options = {"draw": numbered, "mix": Mix(clips=4), "seed": 5, **changes}
    return Loader(range(count), range(1000, 1000 + count), **options)


def taken(batches, count):
    """The first so many batches, which are closed then."""
    with closing(batches):
        return list(itertools.islice(batches, count))


def assert_same(some, others):
    assert len(some) == len(others) > 0
    for a, b in zip(some, others, strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)


def test_an_epoch_shows_each_record_once_in_another_order_each_time():
    batches = taken(loader().batches(), 23)  # four epochs, since a batch has 4 of the 23
    epochs = np.concatenate([batch["record"] for batch in batches]).reshape(4, 23)
    assert (np.sort(epochs) == np.arange(23)).all()
    assert len({tuple(epoch) for epoch in epochs}) == 4
    drawn = np.concatenate([batch["drawn"] for batch in batches])
    assert len(set(drawn)) == len(drawn)  # and what is drawn is drawn anew


def test_processes_share_each_batch_and_see_each_record_once_together():
    whole = loader()
    shares = [loader(share=Share((index,), 2)) for index in range(2)]
    seen = []
    for step in range(23):
        parts = [share[step] for share in shares]
        assert [len(part["record"]) for part in parts] == [2, 2]
        assert_same([jax.tree.map(lambda *x: np.concatenate(x), *parts)], [whole[step]])
        seen += [*parts[0]["record"], *parts[1]["record"]]
    assert (np.sort(np.reshape(seen, (4, 23))) == np.arange(23)).all()


def test_images_come_in_their_turn_and_neither_kind_skips_a_record():
    mixed = loader(mix=Mix(clips=4, images_every=3, images=6))
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
def test_the_batches_are_the_same_whoever_makes_them(tmp_path, options):
    records = Prepared(make_dataset(tmp_path, {"train": 7})).split("train", only=["motion"])
    files = Loader(records, draw=stored, mix=Mix(clips=3), seed=0)
    made = taken(files.batches(4, **options), 10)
    assert made[0]["mean"].shape == (3, 3, 4, 4, 4)
    assert_same(made, [files[step] for step in range(4, 14)])


def test_from_a_saved_position_the_next_hundred_batches_are_the_undisturbed_ones():
    mix = Mix(clips=4, images_every=5, images=8)
    undisturbed = taken(loader(mix=mix).batches(), 137)
    assert_same(taken(loader(mix=mix).batches(37), 100), undisturbed[37:])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"count": 0}, "4 clips, but the data set has none"),
        ({"share": Share((0,), 3)}, "4 clips must be a multiple of the 3 parts"),
    ],
)
def test_what_cannot_be_loaded_is_told(changes, said):
    with pytest.raises(BadInput, match=said):
        loader(**changes)


def test_a_mix_with_images_needs_some():
    with pytest.raises(BadInput, match="6 images, but the data set has none"):
        Loader(range(9), draw=numbered, mix=Mix(clips=4, images_every=3, images=6), seed=0)


KILLED = """
import multiprocessing, time
from tests.data.test_loader import loader

if __name__ == "__main__":
    batches = loader().batches(workers=2)
    for _ in range(2):  # a batch of each worker, which is ready then
        next(batches)
    print(*[child.pid for child in multiprocessing.active_children()], flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")
def test_workers_outlive_sigterm_but_not_the_run(tmp_path):
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
        run.kill()  # before anything can fail, or it would be waited for
    assert running == [True, True]
    until = time.monotonic() + PATIENCE
    while any(is_running(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.05)


def is_running(pid):
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
