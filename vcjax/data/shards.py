"""The files of a split: ArrayRecord files, written by one process each and read in any order."""

import bisect
import dataclasses
import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from vcjax.errors import BadInput
from vcjax.files import check_target

DESCRIPTION = "dataset.json"
NAME = "clips"  # name of the data set for TFDS, and prefix of its files
FORMAT = "array_record"
UNFINISHED = ".part"  # suffix of incomplete files
# One record per block, for random access; large fields are already compressed.
WRITER_OPTIONS = "group_size:1,uncompressed"


class Split(Sequence):
    """Sequence of the decoded records of one split (see `RecordCodec.decode`); picklable.

    Args:
        folder: folder of the data set.
        name: name of the split.
        lengths: number of records in each file.
        codec: `RecordCodec` of the records.

    Raises:
        BadInput: a file is missing.
    """

    def __init__(self, folder: Path, name: str, lengths: Sequence[int], codec: Any):
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
        self._ends = list(itertools.accumulate(file.take for file in self._files))
        self._counted: set[str] = set()  # files whose number of records is right
        for file in self._files:
            if not Path(file.filename).is_file():
                raise BadInput(f"{file.filename} is missing, but {DESCRIPTION} lists it: prepare it again")

    def __reduce__(self) -> tuple[Any, ...]:
        return Split, (self._folder, self.name, self._lengths, self.codec)  # files are opened again

    def __len__(self) -> int:
        return sum(self._lengths)

    def __getitem__(self, index: Any) -> Any:
        data = self.raw(index)
        try:
            return self.codec.decode(data)
        except BadInput as error:
            raise BadInput(
                f"record {index} of split {self.name} in {self._folder} does not fit {DESCRIPTION}: {error}; "
                "prepare the data set again"
            ) from error

    def raw(self, index: int) -> bytes:
        """Return the encoded record of an index; IndexError where it is out of range.

        Raises:
            BadInput: its file is damaged, or has another number of records than dataset.json says.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)} records of {self.name}")
        index = index % len(self)
        file = self._files[bisect.bisect_right(self._ends, index)]
        try:
            if file.filename not in self._counted:
                _check_count(file.filename, file.take)
                self._counted.add(file.filename)
            return self._source[index]
        except (RuntimeError, ValueError) as error:  # of ArrayRecord
            if isinstance(error, BadInput):
                raise
            reason = str(error).partition("\n")[0] or "it is cut short"
            raise BadInput(
                f"{file.filename} is damaged ({reason}); copy it again, or prepare the data set again"
            ) from error

    @cached_property
    def _source(self) -> Any:
        from array_record.python.array_record_data_source import ArrayRecordDataSource

        return ArrayRecordDataSource(self._files)


def _check_count(filename: str, expected: int) -> None:
    from array_record.python.array_record_module import ArrayRecordReader

    reader = ArrayRecordReader(filename)
    found = reader.num_records()
    reader.close()
    if found != expected:
        raise BadInput(
            f"{filename} has {found} records, but {DESCRIPTION} says {expected}: prepare the data set again"
        )


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
        """Add a record.

        Raises:
            BadInput: the disk is full.
        """
        with self._writing():
            self._writer.write(record)
        self.count += 1

    def __exit__(self, error: type[BaseException] | None, *_: Any) -> None:
        try:
            if error is None:
                with self._writing():
                    self._writer.close()
                if self.count:
                    self._unfinished.replace(self._path)
        finally:
            self._unfinished.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Report that the file could not be written, which ArrayRecord says with a RuntimeError."""
        try:
            yield
        except RuntimeError as error:
            reason = str(error).partition(";")[0].rpartition(": ")[2]
            raise BadInput(
                f"{self._path} cannot be written ({reason}); give a writable folder with enough space"
            ) from error
