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
import uuid
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.conditions.base import ClipShape, Condition, Field
from vcjax.conditions.catalogue import conditions_from_config, conditions_to_config
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.input_files import read_json
from vcjax.settings import typed

SCHEMA = 2  # version of records and folder; other versions cannot be read
DESCRIPTION = "dataset.json"
NAME = "clips"  # name of the data set for TFDS, and prefix of its files
IMAGES = "_images"  # suffix of splits of single images
FORMAT = "array_record"
UNFINISHED = ".part"  # suffix of incomplete files
# One record per block, for random access; large fields are already compressed.
WRITER_OPTIONS = "group_size:1,uncompressed"


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
        """
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


class Split(Sequence[dict[str, Any]]):
    """Sequence of the decoded records of one split (see `RecordCodec.decode`); picklable.

    Args:
        folder: folder of the data set.
        name: name of the split.
        lengths: number of records in each file.
        codec: codec of the records.

    Raises:
        BadInput: a file is missing.
    """

    def __init__(self, folder: Path, name: str, lengths: Sequence[int], codec: RecordCodec):
        self.name = name
        self.codec = codec
        self._folder = folder
        self._lengths = lengths
        paths = [shard_path(folder, name, i, len(lengths)) for i in range(len(lengths))]
        self._files = [
            _FileInstruction(str(p), take=n, examples_in_shard=n)
            for p, n in zip(paths, lengths, strict=True)
            if n
        ]
        for file in self._files:
            if not Path(file.filename).is_file():
                raise BadInput(f"{file.filename} is missing, but {DESCRIPTION} lists it: prepare it again")

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self._folder, self.name, self._lengths, self.codec)  # files are opened again

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: Any) -> Any:
        return self.codec.decode(self.raw(index))

    def raw(self, index: int) -> bytes:
        """Return the encoded record of an index; IndexError where it is out of range."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} records of {self.name}")
        return self._source[index % len(self)]

    @cached_property
    def _source(self) -> Any:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        return ArrayRecordDataSource(self._files)


@dataclasses.dataclass
class _FileInstruction:
    """Instruction for ArrayRecord to read a file from its first record to its last."""

    filename: str
    take: int
    examples_in_shard: int
    skip: int = 0


def shard_path(folder: Path, split: str, index: int, count: int) -> Path:
    """Return the path of file `index` of the `count` files of a split, as TFDS names it."""
    return folder / f"{NAME}-{split}.{FORMAT}-{index:05d}-of-{count:05d}"


class ShardWriter:
    """Writer of records, which renames its file when it is complete; without a record there is no file.

    ```python
    with ShardWriter(path) as shard:
        shard.write(record)
    shard.count
    ```
    """

    def __init__(self, path: Path):
        self.count = 0
        self._path = path
        self._unfinished = path.with_name(f".{uuid.uuid4().hex}{UNFINISHED}")

    def __enter__(self) -> "ShardWriter":
        from array_record.python.array_record_module import ArrayRecordWriter

        check_target(self._path)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._writer = ArrayRecordWriter(str(self._unfinished), WRITER_OPTIONS)
        return self

    def write(self, record: bytes) -> None:
        """Add a record."""
        self._writer.write(record)
        self.count += 1

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        self._writer.close()
        if error is None and self.count:
            self._unfinished.replace(self._path)
        else:
            self._unfinished.unlink()


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
    return typed(Description, table, str(path))


def write_description(folder: Path, description: Description) -> None:
    """Write dataset.json, which marks the data set as complete."""
    with replacing(folder / DESCRIPTION) as unfinished:
        text = json.dumps(dataclasses.asdict(description), indent=1)
        unfinished.write_text(text + "\n", "utf-8")
