"""Small prepared data sets with random content, for tests of their readers."""

import numpy as np

from vcjax.conditions.base import ClipShape, MapCondition, VectorCondition
from vcjax.conditions.catalogue import conditions_from_config, conditions_to_config
from vcjax.data.records import SCHEMA, Description, RecordCodec, write_description
from vcjax.data.shards import ShardWriter, shard_path

SHAPE = ClipShape(frames=3, height=16, width=16, fps=8.0)
LATENT = (4, 4, 4)
CONDITIONS = {
    "text": {},
    "style": {"embed_dim": 16, "image_size": 16},
    "image": {},
    "motion": {},
    "depth": {},
    "mask": {},
}
TOKENS = 32
SHARDS = 2


def make_dataset(folder, splits, conditions=CONDITIONS, shape=SHAPE, latent=LATENT, model="small"):
    """Write a data set with random content; clip n of a split has the name `SPLIT n`."""
    parsed = conditions_from_config(conditions)
    codec = RecordCodec(shape, latent, parsed)
    lengths = {}
    for split, count in splits.items():
        frames = 1 if split.endswith("_images") else shape.frames
        records = [
            codec.encode(record(f"{split} {n}", n, frames, shape, latent, parsed)) for n in range(count)
        ]
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
            conditions=conditions_to_config(parsed),
            splits={split: tuple(each) for split, each in lengths.items()},
            made={},
        ),
    )
    return folder


def record(name, seed, frames, shape, latent, conditions):
    rng = np.random.default_rng(seed)

    def random_features(condition):
        if isinstance(condition, VectorCondition):
            return rng.standard_normal(condition.embed_dim, np.float32)
        if isinstance(condition, MapCondition):
            count = min(frames, condition.count(shape))
            channels = 3 if condition.name == "mask" else condition.channels  # unmasked frames
            return rng.random((count, *condition.size(shape), channels), np.float32)
        return rng.integers(0, 1000, TOKENS, np.int32)

    return {
        "clip": name,
        "caption": f"a caption of {name}",
        "fps": shape.fps,
        "mean": rng.standard_normal((frames, *latent), np.float32),
        "std": 0.1 * rng.random((frames, *latent), np.float32),
        "conditions": {name: random_features(condition) for name, condition in conditions.items()},
    }
