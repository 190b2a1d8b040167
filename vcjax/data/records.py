"""Prepared data sets on disk: the schema of records, writing and reading, and the layout of the folder.

```
data/mine/
  dataset.json                                   metadata (`Description`); written last
  clips-train.array_record-00000-of-00012        records of each split, as ArrayRecord files
  dataset_info.json, features.json               metadata for TFDS: tfds.builder_from_directory("data/mine")
  report.csv                                     skipped files, and why
```

A record is a `tf.train.Example` of TFDS with the fields of `RecordCodec.features`. TensorFlow is not needed.
"""

import dataclasses
import hashlib
import json
import struct
import zlib
from collections.abc import Collection, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.conditions.base import ClipShape, Condition, Field, MapCondition, VectorCondition
from vcjax.conditions.catalogue import conditions_from_config, conditions_to_config
from vcjax.data.shards import DESCRIPTION, Split
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.input_files import read_json
from vcjax.settings import typed

SCHEMA = 2  # version of records and folder; other versions cannot be read
IMAGES = "_images"  # suffix of splits of single images
MAX_RECORDS = 2**48


@dataclasses.dataclass(frozen=True)
class Description:
    """Content of dataset.json.

    Attributes:
        schema: version of the schema, `SCHEMA`.
        model: name of the model whose networks computed the features.
        clip: shape of the clips; images have one frame.
        latent: height, width and channels of a frame's latent.
        conditions: settings of the stored conditions, by name.
        splits: number of records in each file of each split.
        made: provenance: the configuration of the preparation.
    """

    schema: int
    model: str
    clip: ClipShape
    latent: tuple[int, ...]
    conditions: Mapping[str, Any]
    splits: Mapping[str, tuple[int, ...]]
    made: Mapping[str, Any]

    def __post_init__(self) -> None:
        if len(self.latent) != 3 or min(self.latent) < 1:
            raise BadInput(
                f"latent of a data set must be height, width and channels, all above 0, not {list(self.latent)}"
            )
        for name, lengths in self.splits.items():
            if not lengths or min(lengths) < 0 or sum(lengths) > MAX_RECORDS:
                raise BadInput(
                    f"splits.{name} of a data set must be numbers of records, from 0 to {MAX_RECORDS} in all"
                )


@dataclasses.dataclass(frozen=True)
class RecordCodec:
    """Encoder and decoder of records.

    Attributes:
        shape: shape of the clips.
        latent: height, width and channels of a frame's latent.
        conditions: stored conditions, by name.
    """

    shape: ClipShape
    latent: tuple[int, ...]
    conditions: Mapping[str, Condition]

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordCodec, (self.shape, self.latent, self.conditions)  # without cached objects of TFDS

    @cached_property
    def features(self) -> Any:
        """Fields of a record, as a `FeaturesDict` of TFDS."""
        from tensorflow_datasets import features as tfds

        latents = Field("float16", (None, *self.latent))
        return tfds.FeaturesDict(
            {
                "clip": tfds.Text(doc="file and start time of the clip"),
                "caption": tfds.Text(),
                "fps": tfds.Scalar(np.float32, doc="frames per second"),
                "mean": _feature(latents, "mean of the scaled latents' posterior"),
                "std": _feature(latents, "standard deviation of the scaled latents' posterior"),
                "conditions": {
                    name: {
                        field_name: _feature(field, condition.stored_as)
                        for field_name, field in condition.fields(self.shape).items()
                    }
                    for name, condition in self.conditions.items()
                },
            }
        )

    @cached_property
    def _serializer(self) -> Any:
        from tensorflow_datasets.core import ExampleSerializer

        return ExampleSerializer(self.features.get_serialized_info())

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Encode a record; equal records have equal bytes.

        Args:
            record: a record as `decode` returns it, with all stored conditions.

        Raises:
            BadInput: a condition cannot be stored.
        """
        example = {
            **record,
            "mean": record["mean"].astype(np.float16),
            "std": record["std"].astype(np.float16),
            "conditions": {n: c.encode(record["conditions"][n]) for n, c in self.conditions.items()},
        }
        proto = self._serializer.get_tf_example(self.features.encode_example(example))
        return proto.SerializeToString(deterministic=True)

    def decode(self, data: bytes) -> dict[str, Any]:
        """Decode a record.

        Returns:
            `clip` and `caption` (str); `fps` (float); `mean` and `std` of the latents' posterior (float32
            `[F, h, w, c]`); and `conditions`, the stored features by name (see `Condition.from_stored`).

        Raises:
            BadInput: it is no record, or one of other sizes than those of the data set.
        """
        try:
            record = self._decoded(data)
        except DECODE_ERRORS as error:
            raise BadInput(f"it cannot be decoded ({type(error).__name__}: {error})") from error
        self._check(record)
        return record

    def _check(self, record: Mapping[str, Any]) -> None:
        """Raise BadInput where arrays of a record have other shapes than those of the data set."""
        frames = len(record["mean"])
        expected = {"mean": (frames, *self.latent), "std": (frames, *self.latent)}
        found = {name: record[name].shape for name in expected}
        for name, condition in self.conditions.items():
            shape = record["conditions"][name].shape
            if isinstance(condition, MapCondition):
                expected[name] = (min(frames, condition.count(self.shape)), *condition.size(self.shape))
                found[name] = shape[:3]
            elif isinstance(condition, VectorCondition):
                expected[name], found[name] = (condition.embed_dim,), shape
        if frames not in (1, self.shape.frames):
            raise BadInput(f"it has {frames} frames and not {self.shape.frames}")
        for name, shape in expected.items():
            if found[name] != shape:
                raise BadInput(f"{name} has shape {list(found[name])} and not {list(shape)}")

    def _decoded(self, data: bytes) -> dict[str, Any]:
        example = self.features.deserialize_example_np(data)
        return {
            "clip": example["clip"].decode(),
            "caption": example["caption"].decode(),
            "fps": float(example["fps"]),
            "mean": example["mean"].astype(np.float32),
            "std": example["std"].astype(np.float32),
            "conditions": {n: c.decode(example["conditions"][n]) for n, c in self.conditions.items()},
        }

    def only(self, names: Collection[str] | None) -> "RecordCodec":
        """Return a codec that decodes only these conditions; all where None.

        Raises:
            BadInput: one of them is not stored.
        """
        for name in names or ():
            if name not in self.conditions:
                stored = ", ".join(self.conditions)
                raise BadInput(f"the data set does not store {name!r}: it stores {stored}")
        selected = self.conditions if names is None else {n: self.conditions[n] for n in names}
        return dataclasses.replace(self, conditions=selected)


# What a record raises that is damaged, or of another data set; protobuf's DecodeError is a ValueError where it is read.
DECODE_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    OSError,
    zlib.error,
    struct.error,
)


def _feature(field: Field, doc: str) -> Any:
    from tensorflow_datasets import features as tfds

    if field.dtype == "bytes":
        return tfds.Tensor(shape=field.shape, dtype=np.object_, doc=doc)
    encoding = tfds.Encoding.ZLIB if field.compressed else tfds.Encoding.BYTES
    return tfds.Tensor(shape=field.shape, dtype=np.dtype(field.dtype), encoding=encoding, doc=doc)


class PreparedDataset:
    """A prepared data set.

    ```python
    dataset = PreparedDataset("data/mine")
    dataset.splits                          # {"train": 950, "validation": 50, "train_images": 300}
    split = dataset.split("train", only=["text", "motion"])
    len(split), split[7]["mean"].shape      # random access
    ```

    Args:
        folder: folder of the data set.

    Raises:
        BadInput: there is none, it is incomplete, or it is of another schema.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        self.shape = self.description.clip
        self.conditions = conditions_from_config(self.description.conditions)
        self.codec = RecordCodec(self.shape, self.description.latent, self.conditions)

    @property
    def splits(self) -> dict[str, int]:
        """Number of records in each split."""
        return {name: sum(lengths) for name, lengths in self.description.splits.items()}

    def check_sizes(self, shape: ClipShape, latent: tuple[int, ...]) -> None:
        """Raise BadInput where clips or latents differ in size from those of a model."""
        for what, theirs, ours in (
            ("clips", self.shape, shape),
            ("latents", tuple(self.description.latent), latent),
        ):
            if theirs != ours:
                raise BadInput(
                    f"{self.folder} has {what} of {theirs}, but the model takes {ours}: "
                    "prepare it for this model"
                )

    def check_condition(self, name: str, condition: Condition) -> None:
        """Raise BadInput where a condition was stored with other settings than a model's."""
        stored, taken = (conditions_to_config({name: c})[name] for c in (self.conditions[name], condition))
        if stored != taken:
            raise BadInput(
                f"the model takes {name} as {taken}, but {self.folder} was prepared with {stored}: prepare it for this model"
            )

    def split(self, name: str, only: Collection[str] | None = None) -> "Split":
        """Open the records of a split.

        Args:
            name: name of the split.
            only: conditions to decode; all stored ones where None.

        Raises:
            BadInput: no such split or condition, or a file of the split is missing.
        """
        if name not in self.splits:
            raise BadInput(f"{self.folder} has no split {name!r}: it has {', '.join(self.splits)}")
        return Split(self.folder, name, self.description.splits[name], self.codec.only(only))


def checksum(folder: Path) -> str:
    """Return the SHA-256 of dataset.json, which identifies a preparation.

    Raises:
        BadInput: not a prepared data set.
    """
    read_description(folder)
    return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()


def read_description(folder: Path) -> Description:
    """Read dataset.json.

    Raises:
        BadInput: it is missing, cannot be read, or is of another schema.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise BadInput(
            f"{folder} is not a prepared data set, since it has no {DESCRIPTION}: "
            "run vcjax prepare to completion"
        )
    table = read_json(path)
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        found = table.get("schema") if isinstance(table, dict) else None
        raise BadInput(
            f"{path} has schema {found!r}, but this version of vcjax reads {SCHEMA}: prepare it again"
        )
    try:
        return typed(Description, table, str(path))
    except BadInput as error:
        raise BadInput(
            f"{path} is damaged ({error}); copy it again, or prepare the data set again"
        ) from error


def write_description(folder: Path, description: Description) -> None:
    """Write dataset.json, which marks the data set as complete."""
    with replacing(folder / DESCRIPTION) as unfinished:
        text = json.dumps(dataclasses.asdict(description), indent=1)
        unfinished.write_text(text + "\n", "utf-8")
