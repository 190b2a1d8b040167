"""Training from files: examples of a prepared data set (`vcjax prepare`), of which nothing is left to be computed."""

from collections.abc import Generator, Mapping
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import PRNGKeyArray

from vcjax.composer import Composer
from vcjax.conditions.base import Condition, MapCondition, VectorCondition
from vcjax.data.loader import Loader, Mix, stacked
from vcjax.data.records import IMAGES, Prepared
from vcjax.errors import BadInput
from vcjax.models.autoencoder import Posterior
from vcjax.parallel.batches import WHOLE, Share
from vcjax.training.config import Run, Stage
from vcjax.training.sources import Example

TRAINING = "train"  # the split that is learned from
TEXT = "text"  # is read whatever a stage takes: what is dropped of it is decided in the step


class RecordSource:
    """Clips and single images of a prepared data set, with the face of `SpriteSource`. Its batches are on the host.

    Args:
        run: whose `data` is the folder of the data set.
        composer: the model to be trained.
        share: what is made here of each batch.

    Raises:
        BadInput: there is no such data set, it was made for another model, or it lacks what a stage takes.
    """

    def __init__(self, run: Run, composer: Composer, share: Share = WHOLE):
        self._run = run
        self._dataset = Prepared(run.data)
        self._conditions = dict(composer.conditions)
        self._share = share
        self._dataset.check_sizes(composer.shape, composer.latent)
        for index, stage in enumerate(run.stages):
            self._check_stage(f"config.stages[{index}]", stage)
            self._loader(stage, run.begin_of(index))

    def batches(self, stage: Stage, begin: int, first: int) -> Generator[Example, None, None]:
        """Batches of the stage that began at step `begin`, from step `first` on; of several processes each its share."""
        return self._loader(stage, begin).batches(first - begin, workers=self._run.workers)

    def pick(self, split: str, indices: np.ndarray, frames: int) -> Example:
        """These clips of a split."""
        known = [name for name in self._dataset.conditions if name in self._conditions]
        records = self._dataset.split(self._there(split), only=known)
        return stacked(
            _example(self._conditions, records[int(i)], np.random.default_rng(int(i))) for i in indices
        )

    def captions(self, split: str, indices: np.ndarray) -> list[str]:
        """Captions of these clips of a split."""
        records = self._dataset.split(self._there(split), only=[])
        return [records[int(i)]["caption"] for i in indices]

    def example(self, picked: Example, key: PRNGKeyArray, split: str = TRAINING) -> Example:
        """What was picked has all there is."""
        return picked

    def _there(self, split: str) -> str:
        """The split, or that of training where the data set has no other."""
        return split if split in self._dataset.splits else TRAINING

    def _loader(self, stage: Stage, begin: int) -> Loader:
        """The batches of the stage that began at step `begin`."""
        names, image_names = (
            dict.fromkeys([TEXT, *stage.given(self._conditions, images=images)]) for images in (False, True)
        )
        pictures = TRAINING + IMAGES
        return Loader(
            self._dataset.split(TRAINING, only=names),
            self._dataset.split(pictures, only=image_names) if pictures in self._dataset.splits else (),
            draw=partial(_example, self._conditions),
            mix=Mix(clips=stage.batch, images_every=stage.images_every, images=stage.images),
            seed=int(np.random.SeedSequence((self._run.seed, begin)).generate_state(1)[0]),
            share=self._share,
        )

    def _check_stage(self, where: str, stage: Stage) -> None:
        """Raise BadInput where the data set does not hold what a stage takes, as the model takes it."""
        frames = self._dataset.shape.frames
        if stage.frames not in (0, frames):
            raise BadInput(
                f"{where}.frames must be 0 or {frames}, as in {self._run.data}, not {stage.frames}"
            )
        if stage.image_scenes != "all":
            raise BadInput(
                f"{where}.image_scenes is of the sprite world: with config.data it must be all, not {stage.image_scenes}"
            )
        stored = self._dataset.conditions
        for name in (*stage.given(self._conditions), *stage.image_conditions):
            if name not in stored:
                raise BadInput(
                    f"{where} takes {name}, but {self._run.data} was prepared without it: "
                    f"prepare it with {name}, or let the stage's conditions be some of {', '.join(stored)}"
                )
            self._dataset.check_condition(name, self._conditions[name])


def _example(
    conditions: Mapping[str, Condition], record: Mapping[str, Any], rng: np.random.Generator
) -> Example:
    """One record as an example without the batch's axis."""
    seed = int(rng.integers(2**32))
    arrays = {n: conditions[n].at_load(material, seed) for n, material in record["conditions"].items()}
    return Example(
        frames=None,
        ids=arrays[TEXT],
        maps={name: array for name, array in arrays.items() if isinstance(conditions[name], MapCondition)},
        objects=None,
        vectors={
            name: array for name, array in arrays.items() if isinstance(conditions[name], VectorCondition)
        },
        posterior=Posterior(mean=record["mean"], deviation=record["deviation"]),
    )
