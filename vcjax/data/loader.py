"""The loader: batches of records, each a function of seed and step alone, made ahead by Grain's threads or processes.

There is no position to be saved but the step itself: any batch can be asked for directly, so a run that goes on from a
checkpoint sees what it would have seen. Batches are on the host: the training loop sends each to the devices while the step
before it is computed.
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
from vcjax.parallel.batches import WHOLE, Share

Records = Sequence[Any]  # of which `len(records)` and `records[i]` are asked; picklable, for worker processes
Draw = Callable[[Any, np.random.Generator], Any]  # a sample, a tree of arrays, of a record; picklable too

AHEAD = 2  # batches that each process holds ready


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mix:
    """What the batches hold: clips, and every so many steps single images instead.

    Attributes:
        clips: in a batch, over all processes.
        images_every: the last of so many steps is one of images; 0 is none.
        images: in a batch of them.
    """

    clips: int
    images_every: int = 0
    images: int = 0

    def of(self, step: int) -> tuple[bool, int]:
        """Whether a step is one of images, and how many of its kind come before it."""
        if not self.images_every:
            return False, step
        before, place = divmod(step, self.images_every)
        return (True, before) if place == self.images_every - 1 else (False, step - before)


class Loader:
    """Batches of records. Clips and images are each shuffled anew every epoch, and each is seen once in it.

    ```python
    loader = Loader(clips, draw=sample, mix=Mix(clips=16), seed=0)
    loader[7]                                        # the batch of step 7, made here and now
    with closing(loader.batches(7, workers=2)) as batches:
        next(batches)                                # the same, made ahead
    ```

    A batch is cut into equal shares, one for each process in their order. The last batch of an epoch is filled up with the
    first records of the next.

    Args:
        clips: records of clips.
        images: records of single images, where the mix has any.
        draw: a record and random numbers to a sample; the numbers depend on the seed and the sample's place alone.
        mix: what a batch holds.
        seed: of the order and of what is drawn, from 0 to 2^32 - 1.
        share: what is made here of each batch.

    Raises:
        BadInput: there are no records, or a batch cannot be cut into equal shares.
    """

    def __init__(
        self,
        clips: Records,
        images: Records = (),
        *,
        draw: Draw,
        mix: Mix,
        seed: int,
        share: Share = WHOLE,
    ):
        import grain

        self._mix = mix
        self._share = share
        self._samples = {}
        for is_images, kind, size, records in (
            (False, "clips", mix.clips, clips),
            (True, "images", mix.images, images),
        ):
            if size and not len(records):
                raise BadInput(f"batches are to hold {size} {kind}, but the data set has none")
            share.places(size, kind)
            endless = grain.MapDataset.source(records).shuffle(seed=seed).repeat()
            self._samples[is_images] = endless.random_map(draw, seed=seed)

    def __getitem__(self, step: int) -> Any:
        """This process's share of the batch of a step: a sample's tree with the samples in front of each array."""
        images, number = self._mix.of(step)
        size = self._mix.images if images else self._mix.clips
        places = number * size + self._share.places(size)
        return stacked(self._samples[images][int(place)] for place in places)

    def batches(self, first: int = 0, *, workers: int = 0, threads: int = 2) -> Generator[Any, None, None]:
        """The batches of step `first` and those after it, without end; the same for any number of workers.

        Args:
            first: step to begin with.
            workers: processes that make batches, each some of them; 0 makes them in this one.
            threads: of each process, each at a batch of its own.
        """
        import grain

        made = (
            grain.MapDataset.range(first, sys.maxsize)
            .map(self.__getitem__)
            .to_iter_dataset(grain.ReadOptions(num_threads=threads, prefetch_buffer_size=max(AHEAD, threads)))
        )
        if workers:
            if not flags.FLAGS.is_parsed():  # Grain asks absl for flags of its own, which nobody has set then
                flags.FLAGS.mark_as_parsed()
            made = made.mp_prefetch(
                grain.MultiprocessingOptions(num_workers=workers), worker_init_fn=_follow_parent
            )
        iterator = iter(made)
        try:
            yield from iterator
        finally:
            iterator.close()


def stacked(samples: Iterable[Any]) -> Any:
    """One tree of arrays of several, the samples in front of each array."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *samples)


def _follow_parent(worker: int, count: int) -> None:
    """Let this worker process live as long as the one that started it: past signals that end a run after its step in
    flight, which still needs its batch, and no longer, though that one be killed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def watch(parent: Any) -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, args=[multiprocessing.parent_process()], daemon=True).start()
