"""Loader of batches, each a function of seed and step only, prefetched by Grain's threads or processes.

The step is the only state: any batch can be loaded directly, so a run that resumes from a checkpoint gets the
batches of an uninterrupted run. Batches are on the host; the training loop transfers each to the devices
during the step before it.
"""

import dataclasses
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags

from vcjax.errors import BadInput
from vcjax.parallel.batches import FULL_BATCH, ProcessShard

Records = Sequence[Any]  # needs `len(records)` and `records[i]`; picklable, for worker processes
Transform = Callable[[Any, np.random.Generator], Any]  # from a record to a tree of arrays; picklable

PREFETCH = 2  # batches that each process prefetches


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """Configuration of the loader of a prepared data set.

    Attributes:
        workers: processes that load batches ahead of training; 0 uses threads of this process.
    """

    workers: int = 0

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise BadInput(f"config.loader.workers must be 0 or more, not {self.workers}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class BatchSchedule:
    """Sizes of batches, and which of them are single images instead of clips.

    Attributes:
        batch_size: clips per batch, over all processes.
        images_every: every n-th batch is single images; 0 is never.
        image_batch_size: images in such a batch.
    """

    batch_size: int
    images_every: int = 0
    image_batch_size: int = 0

    def at(self, step: int) -> tuple[bool, int]:
        """Return whether the batch of a step is images, and the number of batches of its kind before it."""
        if not self.images_every:
            return False, step
        before, position = divmod(step, self.images_every)
        return (True, before) if position == self.images_every - 1 else (False, step - before)


class Loader:
    """Batches of records. Clips and images are shuffled separately in each epoch, which has each record once.

    ```python
    loader = Loader(clips, transform=transform, schedule=BatchSchedule(batch_size=16), seed=0)
    loader[7]                                        # the batch of step 7
    with closing(loader.batches(7, workers=2)) as batches:
        next(batches)                                # the same batch, prefetched
    ```

    A batch is split into equal shards, one per process. The last batch of an epoch is completed with the
    first records of the next.

    Args:
        clips: records of clips.
        images: records of single images, where the schedule has any.
        transform: function from a record and a random generator to a sample; the generator depends on the
            seed and the position of the sample only.
        schedule: sizes and kinds of the batches.
        seed: seed of the order and of the generators, from 0 to 2^32 - 1.
        shard: the part of each batch that this process loads.

    Raises:
        BadInput: there are no records, or a batch cannot be split into equal shards.
    """

    def __init__(
        self,
        clips: Records,
        images: Records = (),
        *,
        transform: Transform,
        schedule: BatchSchedule,
        seed: int,
        shard: ProcessShard = FULL_BATCH,
    ):
        import grain

        self._schedule = schedule
        self._shard = shard
        self._samples = {}
        for is_images, kind, size, records in (
            (False, "clips", schedule.batch_size, clips),
            (True, "images", schedule.image_batch_size, images),
        ):
            if size and not len(records):
                raise BadInput(f"batches have {size} {kind}, but the data set has none")
            shard.indices(size, kind)
            repeated = grain.MapDataset.source(records).shuffle(seed=seed).repeat()
            self._samples[is_images] = repeated.random_map(transform, seed=seed)

    def __getitem__(self, step: int) -> Any:
        """Return this process's shard of the batch of a step: a tree of arrays with a leading batch axis."""
        images, number = self._schedule.at(step)
        size = self._schedule.image_batch_size if images else self._schedule.batch_size
        positions = number * size + self._shard.indices(size)
        return stack_samples(self._samples[images][int(position)] for position in positions)

    def batches(self, first: int = 0, *, workers: int = 0, threads: int = 2) -> Generator[Any, None, None]:
        """Iterate over the batches from step `first` on, without end, independent of the number of workers.

        Args:
            first: first step.
            workers: processes that load batches; 0 loads them in this process.
            threads: threads per process, which load separate batches.
        """
        import grain

        dataset = (
            grain.MapDataset.range(first, sys.maxsize)
            .map(self.__getitem__)
            .to_iter_dataset(
                grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(PREFETCH, threads))
            )
        )
        if workers:
            if not flags.FLAGS.is_parsed():  # Grain reads absl flags, which fails before parsing
                flags.FLAGS.mark_as_parsed()
            dataset = dataset.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers), worker_init_fn=_exit_with_parent
            )
        iterator = iter(dataset)
        try:
            yield from iterator
        finally:
            iterator.close()


def stack_samples(samples: Iterable[Any]) -> Any:
    """Stack trees of arrays along a new leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *samples)


def _exit_with_parent(worker: int, count: int) -> None:
    """Tie the lifetime of a worker process to that of its parent.

    The worker ignores SIGINT and SIGTERM: after these signals the parent still completes the current step,
    which needs its batch. The worker exits with the parent, also where that is killed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, args=[multiprocessing.parent_process()], daemon=True).start()
