"""Small prepared data sets of random content, for the tests of what reads them."""

import numpy as np

from vcjax.conditions.base import ClipShape, MapCondition, VectorCondition
from vcjax.conditions.catalogue import from_settings, to_settings
from vcjax.data.records import SCHEMA, Description, RecordForm, ShardWriter, shard_path, write_description

SHAPE = ClipShape(frames=3, height=16, width=16, fps=8.0)
LATENT = (4, 4, 4)
CONDITIONS = {"text": {}, "style": {"width": 16}, "image": {}, "motion": {}, "depth": {}, "mask": {}}
WORDS = 32  # of a text
SHARDS = 2


def make_dataset(folder, splits, conditions=CONDITIONS, shape=SHAPE, latent=LATENT, model="small"):
    """A data set with so many records in each split; clip n of a split is `SPLIT n`, its content random but for that."""
    known = from_settings(conditions)
    form = RecordForm(shape, latent, known)
    lengths = {}
    for split, count in splits.items():
        frames = 1 if split.endswith("_images") else shape.frames
        records = [form.encode(record(f"{split} {n}", n, frames, shape, latent, known)) for n in range(count)]
        lengths[split] = []
        for index in range(SHARDS):
            with ShardWriter(shard_path(folder, split, index, SHARDS)) as shard:
                for data in records[index::SHARDS]:
                    shard.write(data)
            lengths[split].append(shard.count)
    write_description(
        folder,
        Description(
            schema=SCHEMA,
            model=model,
            clip=shape,
            latent=latent,
            conditions=to_settings(known),
            splits={split: tuple(each) for split, each in lengths.items()},
            made={},
        ),
    )
    return folder


def record(name, seed, frames, shape, latent, conditions):
    rng = np.random.default_rng(seed)

    def material(condition):
        if isinstance(condition, VectorCondition):
            return rng.standard_normal(condition.width, np.float32)
        if isinstance(condition, MapCondition):
            count = min(frames, condition.count(shape))
            channels = (
                3 if condition.name == "mask" else condition.channels
            )  # its frames, hidden when they are loaded
            return rng.random((count, *condition.size(shape), channels), np.float32)
        return rng.integers(0, 1000, WORDS, np.int32)

    return {
        "clip": name,
        "caption": f"a caption of {name}",
        "fps": shape.fps,
        "mean": rng.standard_normal((frames, *latent), np.float32),
        "deviation": 0.1 * rng.random((frames, *latent), np.float32),
        "conditions": {name: material(condition) for name, condition in conditions.items()},
    }
