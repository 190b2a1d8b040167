"""Source of clips and single images from a prepared data set (`vcjax prepare`)."""

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from vcjax.composer.composer import Composer
from vcjax.conditions.base import Condition, MapCondition, VectorCondition
from vcjax.data.loader import BatchSchedule, Loader, stack_samples
from vcjax.data.records import IMAGES, PreparedDataset
from vcjax.data.sprites.selection import SpriteSelection
from vcjax.errors import BadInput
from vcjax.models.autoencoder import Posterior
from vcjax.parallel.batches import FULL_BATCH, ProcessShard
from vcjax.training.config import Run, Stage
from vcjax.training.source import TrainingBatch

TRAIN_SPLIT = "train"
TEXT = "text"  # read in every stage: a stage without text drops it in the training step


class DatasetSource:
    """Source of clips and single images of a prepared data set; its batches are complete, in host memory.

    Args:
        run: configuration, whose `data` is the folder of the data set.
        composer: model to train.
        shard: part of each batch that this process loads.

    Raises:
        BadInput: the data set does not exist, was prepared for another model, or lacks conditions of a stage.
    """

    def __init__(self, run: Run, composer: Composer, shard: ProcessShard = FULL_BATCH):
        self._run = run
        self._dataset = PreparedDataset(run.data)
        self._conditions = dict(composer.conditions)
        self._shard = shard
        self._dataset.check_sizes(composer.shape, composer.latent_shape())
        for index, stage in enumerate(run.stages):
            self._check_stage(f"config.stages[{index}]", stage)
            self._loader(stage, run.first_step(index))

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[TrainingBatch, None, None]:
        """Yield the shards of the batches of a stage that begins at step `begin`, from step `first` on."""
        return self._loader(stage, begin).batches(first - begin, workers=self._run.loader.workers)

    def pick(self, split: str, indices: np.ndarray, frames: int) -> TrainingBatch:
        """Return a batch of clips of a split."""
        known = [name for name in self._dataset.conditions if name in self._conditions]
        records = self._dataset.split(self._split_or_train(split), only=known)
        return stack_samples(
            _training_example(self._conditions, records[int(i)], np.random.default_rng(int(i)))
            for i in indices
        )

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Return the captions of clips of a split."""
        records = self._dataset.split(self._split_or_train(split), only=[])
        return [records[int(i)]["caption"] for i in indices]

    def training_batch(
        self, batch: TrainingBatch, key: PRNGKeyArray, split: str = TRAIN_SPLIT
    ) -> TrainingBatch:
        """Return the batch, which is complete already."""
        return batch

    def _split_or_train(self, split: str) -> str:
        """Return the split, or the training split if the data set lacks it."""
        return split if split in self._dataset.splits else TRAIN_SPLIT

    def _loader(self, stage: Stage, begin: int) -> Loader:
        """Return the loader of the stage that begins at step `begin`."""
        names, image_names = (
            dict.fromkeys([TEXT, *stage.condition_names(self._conditions, images=images)])
            for images in (False, True)
        )
        image_split = TRAIN_SPLIT + IMAGES
        return Loader(
            self._dataset.split(TRAIN_SPLIT, only=names),
            self._dataset.split(image_split, only=image_names) if image_split in self._dataset.splits else (),
            transform=partial(_training_example, self._conditions),
            schedule=BatchSchedule(
                batch_size=stage.batch_size,
                images_every=stage.images_every,
                image_batch_size=stage.image_batch_size,
            ),
            seed=int(np.random.SeedSequence((self._run.seed, begin)).generate_state(1)[0]),
            shard=self._shard,
        )

    def _check_stage(self, where: str, stage: Stage) -> None:
        """Raise BadInput if the data set does not have the frames and conditions of a stage."""
        frames = self._dataset.shape.frames
        if stage.frames not in (0, frames):
            raise BadInput(
                f"{where}.frames must be 0 or {frames}, as in {self._run.data}, not {stage.frames}"
            )
        if stage.sprites != SpriteSelection():
            raise BadInput(
                f"{where}.sprites selects clips of the sprite world: "
                "leave it at its defaults with config.data"
            )
        stored = self._dataset.conditions
        for name in (*stage.condition_names(self._conditions), *stage.image_conditions):
            if name not in stored:
                raise BadInput(
                    f"{where} takes {name}, but {self._run.data} was prepared without it: "
                    f"prepare it with {name}, or let the stage's conditions be some of {', '.join(stored)}"
                )
            self._dataset.check_condition(name, self._conditions[name])


def _training_example(
    conditions: Mapping[str, Condition], record: Mapping[str, Any], rng: np.random.Generator
) -> TrainingBatch:
    """Return a record as a `TrainingBatch` without the batch axis."""
    seed = int(rng.integers(2**32))
    arrays = {n: conditions[n].from_stored(stored, seed) for n, stored in record["conditions"].items()}
    return TrainingBatch(
        frames=None,
        ids=arrays[TEXT],
        maps={name: array for name, array in arrays.items() if isinstance(conditions[name], MapCondition)},
        objects=None,
        vectors={
            name: array for name, array in arrays.items() if isinstance(conditions[name], VectorCondition)
        },
        posterior=Posterior(mean=record["mean"], std=record["std"]),
    )
