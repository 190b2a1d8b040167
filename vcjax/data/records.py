"""A prepared data set on disk: what a record holds, how it is written and read, and the folder that it lies in.

```
data/mine/
  dataset.json                                   what it is (`Description`); written last
  clips-train.array_record-00000-of-00012        records, in ArrayRecord files, for each split
  dataset_info.json, features.json               the same for TFDS: tfds.builder_from_directory("data/mine")
  report.csv                                     what was not kept, and why
```

A record is a `tf.train.Example` as TFDS makes it, of the fields that `RecordForm.features` lists. TensorFlow is not needed.
"""

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vcjax.conditions.base import ClipShape, Condition, Field
from vcjax.conditions.catalogue import from_settings
from vcjax.errors import BadInput
from vcjax.files import check_target, replacing
from vcjax.settings import typed

SCHEMA = 1  # of records and folder; another one cannot be read by this version
DESCRIPTION = "dataset.json"
NAME = "clips"  # of the data set, as TFDS calls it, and with which its files begin
IMAGES = "_images"  # at the end of the name of a split of single pictures
FORMAT = "array_record"
UNFINISHED = ".part"  # at the end of the name of a file that is being written
# One record a block, so that any can be read by itself; all that is large in it is packed already.
WRITING = "group_size:1,uncompressed"


@dataclasses.dataclass(frozen=True)
class Description:
    """What dataset.json says.

    Attributes:
        schema: version of the form, `SCHEMA`.
        model: name of the model whose networks made it.
        clip: shape of the clips; images have one frame.
        latent: height, width and channels of a frame's latent.
        conditions: settings of the conditions that are stored, by name.
        splits: for each split how many records lie in each of its files.
        made: how it was made: the configuration of the preparation.
    """

    schema: int
    model: str
    clip: ClipShape
    latent: tuple[int, ...]
    conditions: Mapping[str, Any]
    splits: Mapping[str, tuple[int, ...]]
    made: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class RecordForm:
    """How a clip becomes a record's bytes, and back.

    Attributes:
        shape: of the clips.
        latent: height, width and channels of a frame's latent.
        conditions: those that are stored, by name.
    """

    shape: ClipShape
    latent: tuple[int, ...]
    conditions: Mapping[str, Condition]

    def __reduce__(self) -> tuple[Any, ...]:
        return RecordForm, (self.shape, self.latent, self.conditions)  # TFDS's objects are made anew

    @cached_property
    def features(self) -> Any:
        """The fields, as TFDS's `FeaturesDict`."""
        from tensorflow_datasets import features as tfds

        latents = Field("float16", (None, *self.latent))
        return tfds.FeaturesDict(
            {
                "clip": tfds.Text(doc="file, and where in it the clip begins"),
                "caption": tfds.Text(),
                "fps": tfds.Scalar(np.float32, doc="frames a second"),
                "mean": _feature(latents, "of the latents' posterior, already scaled"),
                "deviation": _feature(latents, "of the same"),
                "conditions": {
                    name: {
                        field: _feature(about, condition.stored_as)
                        for field, about in condition.fields(self.shape).items()
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
        """The bytes of a record, equal for equal records.

        Args:
            record: what `decode` gives; each condition that is stored must be there.

        Raises:
            BadInput: a condition cannot be stored.
        """
        example = {
            **record,
            "mean": record["mean"].astype(np.float16),
            "deviation": record["deviation"].astype(np.float16),
            "conditions": {n: c.encode(record["conditions"][n]) for n, c in self.conditions.items()},
        }
        proto = self._serializer.get_tf_example(self.features.encode_example(example))
        return proto.SerializeToString(deterministic=True)

    def decode(self, data: bytes) -> dict[str, Any]:
        """A record: `clip` and `caption` (str), `fps` (float), `mean` and `deviation` (float32 `[F, h, w, c]`, so that
        a latent is mean + deviation * noise) and `conditions`, the material of each by name (see `Condition.at_load`).
        """
        example = self.features.deserialize_example_np(data)
        return {
            "clip": example["clip"].decode(),
            "caption": example["caption"].decode(),
            "fps": float(example["fps"]),
            "mean": example["mean"].astype(np.float32),
            "deviation": example["deviation"].astype(np.float32),
            "conditions": {n: c.decode(example["conditions"][n]) for n, c in self.conditions.items()},
        }

    def only(self, names: Collection[str] | None) -> "RecordForm":
        """The form that reads these conditions of a record and skips the others; all without names.

        Raises:
            BadInput: one of them is not stored.
        """
        for name in names or ():
            if name not in self.conditions:
                raise BadInput(f"the data set holds no {name!r}: it holds {', '.join(self.conditions)}")
        kept = self.conditions if names is None else {n: self.conditions[n] for n in names}
        return dataclasses.replace(self, conditions=kept)


def _feature(field: Field, doc: str) -> Any:
    from tensorflow_datasets import features as tfds

    if field.dtype == "bytes":
        return tfds.Tensor(shape=field.shape, dtype=np.object_, doc=doc)
    encoding = tfds.Encoding.ZLIB if field.compressed else tfds.Encoding.BYTES
    return tfds.Tensor(shape=field.shape, dtype=np.dtype(field.dtype), encoding=encoding, doc=doc)


class Prepared:
    """A prepared data set.

    ```python
    dataset = Prepared("data/mine")
    dataset.splits                          # {"train": 950, "validation": 50, "train_images": 300}
    split = dataset.split("train", only=["text", "motion"])
    len(split), split[7]["mean"].shape      # random access
    ```

    Args:
        folder: where it lies.

    Raises:
        BadInput: there is none, it is not finished, or it is of another schema.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        self.shape = self.description.clip
        self.conditions = from_settings(self.description.conditions)
        self.form = RecordForm(self.shape, self.description.latent, self.conditions)

    @property
    def splits(self) -> dict[str, int]:
        """How many records each split has."""
        return {name: sum(lengths) for name, lengths in self.description.splits.items()}

    def check_sizes(self, shape: ClipShape, latent: tuple[int, ...]) -> None:
        """Raise BadInput where clips or latents are not of a model's sizes."""
        for what, theirs, ours in (
            ("clips", self.shape, shape),
            ("latents", tuple(self.description.latent), latent),
        ):
            if theirs != ours:
                raise BadInput(
                    f"{self.folder} holds {what} of {theirs}, but the model takes {ours}: prepare it for this model"
                )

    def check_condition(self, name: str, condition: Condition) -> None:
        """Raise BadInput where a condition was not stored with a model's settings."""
        if self.conditions[name] != condition:
            raise BadInput(
                f"the model takes {name} as {condition}, but {self.folder} was prepared with "
                f"{self.conditions[name]}: prepare it for this model"
            )

    def split(self, name: str, only: Collection[str] | None = None) -> "Split":
        """The records of a split.

        Args:
            name: of the split.
            only: conditions to decode; all that are stored without it.

        Raises:
            BadInput: no such split or condition, or one of its files is missing.
        """
        if name not in self.splits:
            raise BadInput(f"{self.folder} has no split {name!r}: it has {', '.join(self.splits)}")
        return Split(self.folder, name, self.description.splits[name], self.form.only(only))


class Split(Sequence[dict[str, Any]]):
    """Records of one split, by their number: what `RecordForm.decode` gives. It can be sent to other processes.

    Args:
        folder: of the data set.
        name: of the split.
        lengths: how many records each of its files holds.
        form: of the records.

    Raises:
        BadInput: a file is missing.
    """

    def __init__(self, folder: Path, name: str, lengths: Sequence[int], form: RecordForm):
        self.name = name
        self.form = form
        self._folder = folder
        self._lengths = lengths
        paths = [shard_path(folder, name, i, len(lengths)) for i in range(len(lengths))]
        self._files = [
            _File(str(p), take=n, examples_in_shard=n) for p, n in zip(paths, lengths, strict=True) if n
        ]
        for file in self._files:
            if not Path(file.filename).is_file():
                raise BadInput(f"{file.filename} is missing, though {DESCRIPTION} names it: prepare it again")

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self._folder, self.name, self._lengths, self.form)  # files are opened anew

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: Any) -> Any:
        return self.form.decode(self.raw(index))

    def raw(self, index: int) -> bytes:
        """The bytes of a record; IndexError where there is none of this number."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} records of {self.name}")
        return self._source[index % len(self)]

    @cached_property
    def _source(self) -> Any:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        return ArrayRecordDataSource(self._files)


@dataclasses.dataclass
class _File:
    """What ArrayRecord asks of a file and of the part of it that is read: all."""

    filename: str
    take: int
    examples_in_shard: int
    skip: int = 0


def shard_path(folder: Path, split: str, index: int, count: int) -> Path:
    """File `index` of the `count` files of a split, as TFDS names it."""
    return folder / f"{NAME}-{split}.{FORMAT}-{index:05d}-of-{count:05d}"


class ShardWriter:
    """Writes records to a file, which has its name only when it is whole; without a record there is no file.

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
        self._writer = ArrayRecordWriter(str(self._unfinished), WRITING)
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


def write_shard(path: Path, records: Iterable[bytes]) -> int:
    """Write records to a file; how many they were."""
    with ShardWriter(path) as shard:
        for record in records:
            shard.write(record)
    return shard.count


def checksum(folder: Path) -> str:
    """Of a data set's description, which another preparation changes.

    Raises:
        BadInput: there is none.
    """
    read_description(folder)
    return hashlib.sha256((folder / DESCRIPTION).read_bytes()).hexdigest()


def read_description(folder: Path) -> Description:
    """What dataset.json says.

    Raises:
        BadInput: there is none, or it cannot be read, or is of another schema.
    """
    path = folder / DESCRIPTION
    if not path.is_file():
        raise BadInput(
            f"{folder} is no prepared data set, since it has no {DESCRIPTION}: make it, or finish it, with vcjax prepare"
        )
    try:
        table = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read as json: {error}") from error
    if not isinstance(table, dict) or table.get("schema") != SCHEMA:
        found = table.get("schema") if isinstance(table, dict) else None
        raise BadInput(
            f"{path} has schema {found!r}, but this version of vcjax reads {SCHEMA}: prepare it again"
        )
    return typed(Description, table, str(path))


def write_description(folder: Path, description: Description) -> None:
    """Write dataset.json, which makes the folder a data set. Call it last."""
    with replacing(folder / DESCRIPTION) as unfinished:
        text = json.dumps(dataclasses.asdict(description), indent=1)
        unfinished.write_text(text + "\n", "utf-8")
