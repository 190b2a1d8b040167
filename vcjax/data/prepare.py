"""Preparation: footage in, a data set out, on Apache Beam; it may be stopped at any time and run again.

1. List the footage and part it into shards of so many files each; the same footage gives the same shards.
2. Each shard is one piece of work for Beam (`prepare_shard`): it writes the shard's records, then a marker that says
   what became of each file. Both get their names only when they are whole, so that what is finished stays finished.
3. The markers become report.csv and dataset.json, which makes the folder a data set.

TFDS's own writing on Beam would shuffle all records at the end of the pipeline, into a folder of a new random name each
time: a run that is killed would leave nothing. Its schema, metadata and readers are used (`vcjax.data.builder`).
"""

import csv
import dataclasses
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

from vcjax.conditions.base import ClipShape
from vcjax.conditions.catalogue import to_settings
from vcjax.data.beam import run
from vcjax.data.footage import Sample
from vcjax.data.listing import Found, Item, Lost
from vcjax.data.records import (
    DESCRIPTION,
    IMAGES,
    SCHEMA,
    UNFINISHED,
    Description,
    ShardWriter,
    read_description,
    shard_path,
    write_description,
)
from vcjax.data.workshop import Workshop, open_workshop
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.loading import folder_of, model_table
from vcjax.progress import Tell
from vcjax.weights.folder import CONFIG, checksum

WORK = ".work"  # folder of markers, in that of the data set, until it is finished
PLAN = "plan.json"  # in it: what is being made
REPORT = "report.csv"
REPORT_COLUMNS = ("name", "reason")
# Shards: many, so that little is lost when a run is killed, but no more than a file system likes.
SHARDS, MOST_FILES = 256, 1000
TOOLS = "with"  # key of what is recorded but may be otherwise when a run is continued


@runtime_checkable
class Source(Protocol):
    """Where clips come from. It is sent to workers, and is recorded in the data set by its fields.

    Class attributes:
        knows: conditions whose material the samples bring.
    """

    knows: ClassVar[tuple[str, ...]]

    def listing(self) -> list[Found]:
        """What there is to prepare, in an order that is the same each time."""
        ...

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | Lost]:
        """The clips of an item. Raises BadInput where there is none."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be prepared and how: all that the records depend on, and how they are laid out.

    Attributes:
        source: of the clips.
        model: built in, or a model folder; its networks make the latents and conditions.
        dtype: type that they compute in; what suits the device without it.
        without: conditions of the model that are not stored.
        files_per_shard: files that are one piece of work and go to one file; as the number of files suggests without it.
    """

    source: Source
    model: str = "tiny"
    dtype: str | None = None
    without: tuple[str, ...] = ()
    files_per_shard: int | None = None

    def conditions(self) -> tuple[str, ...]:
        """Names of the conditions that are stored; BadInput where `without` names one that the model does not have."""
        names = tuple(model_table(self.model)["conditions"])
        for name in self.without:
            if name not in names:
                raise BadInput(f"--without {name}: model {self.model} has only {', '.join(names)}")
        return tuple(name for name in names if name not in self.without)

    def everywhere(self) -> "Job":
        """The same for workers that are elsewhere: the path of a model folder is absolute."""
        folder = Path(self.model)
        return dataclasses.replace(self, model=str(folder.absolute())) if folder.is_dir() else self

    def workshop(self) -> Workshop:
        """The networks, in this process."""
        return open_workshop(self.model, self.dtype, self.conditions(), tuple(self.source.knows))


@dataclasses.dataclass(frozen=True)
class Shard:
    """One piece of work.

    Attributes:
        split: that its clips go to.
        index: its number in the split, of `count`.
        count: of the split's shards.
        items: its files.
    """

    split: str
    index: int
    count: int
    items: tuple[Item, ...]

    def marker(self, folder: Path) -> Path:
        """The file that says what became of it; it is there when the shard is finished."""
        return folder / WORK / f"{self.split}-{self.index:05d}.json"


def prepare(job: Job, folder: Path, *, options: Any = None, tell: Tell | None = None) -> Description:
    """Make a data set, or go on with one that was begun; one that is finished is left as it is.

    ```python
    prepare(Job(source=Videos(path="videos"), without=("depth",)), Path("data/mine"))
    ```

    Args:
        job: what is to be made.
        folder: where it is to lie.
        options: of the pipeline (`vcjax.data.beam.pipeline_options`); all cores of this machine without it.
        tell: called every now and then with how many files are done.

    Raises:
        BadInput: the source, the model or the folder cannot be used; nothing of the source can be; or the folder holds
            a data set that was made otherwise.
    """
    job, folder = job.everywhere(), folder.absolute()
    job.workshop()  # what is wrong with the model is said before any work
    found = job.source.listing()
    items = [each for each in found if isinstance(each, Item)]
    if not items:
        raise BadInput(f"there is nothing to prepare in {job.source}: give footage")
    made = _record_of(job, items)
    if (folder / DESCRIPTION).is_file():
        description = read_description(folder)
        _check_same(folder, description.made, made)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        if tell:
            tell("prepared", len(items), len(items))
        return description
    _begin(folder, made)
    shards = _shards(items, made["files_per_shard"])
    waiting = [shard for shard in shards if not shard.marker(folder).is_file()]

    def told() -> None:
        if tell:
            there = {path.name for path in (folder / WORK).iterdir()}
            done = sum(len(shard.items) for shard in shards if shard.marker(folder).name in there)
            tell("preparing", done, len(items))

    run(partial(prepare_shard, job, folder), waiting, options, told)
    return _finish(job, folder, shards, [each for each in found if isinstance(each, Lost)], made)


def prepare_shard(job: Job, folder: Path, shard: Shard) -> None:
    """Make the records of one shard. What cannot be used of it is written down, and the rest goes on."""
    workshop = job.workshop()
    shape = workshop.form.shape
    lost: list[Lost] = []
    pictures = shard.split + IMAGES
    with (
        ShardWriter(shard_path(folder, shard.split, shard.index, shard.count)) as clips,
        ShardWriter(shard_path(folder, pictures, shard.index, shard.count)) as images,
    ):
        for item in shard.items:
            for sample in _samples(job.source, item, shape):
                if isinstance(sample, Lost):
                    lost.append(sample)
                    continue
                try:
                    record = workshop.record(sample)
                except BadInput as error:
                    lost.append(Lost(sample.name, str(error)))
                    continue
                (clips if len(sample.clip) == shape.frames else images).write(record)
    counts = {shard.split: clips.count, pictures: images.count}
    _write_json(
        shard.marker(folder), {"counts": counts, "lost": [dataclasses.astuple(each) for each in lost]}
    )


def read_report(folder: Path) -> list[Lost]:
    """What was not kept of a data set's source, and why."""
    with (folder / REPORT).open(newline="", encoding="utf-8") as file:
        return [Lost(*row) for row in csv.reader(file)][1:]


def _samples(source: Source, item: Item, shape: ClipShape) -> Iterator[Sample | Lost]:
    try:
        yield from source.samples(item, shape)
    except BadInput as error:
        yield Lost(item.name, str(error))


def _record_of(job: Job, items: Sequence[Item]) -> dict[str, Any]:
    """The configuration as it is recorded."""
    rows = [(item.name, item.caption, item.split) for item in items]
    listed = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    files = job.files_per_shard or min(math.ceil(len(items) / SHARDS), MOST_FILES)
    return {
        "source": {"kind": type(job.source).__name__, **vars(job.source)},
        "footage": {"files": len(items), "sha256": listed},
        "model": {"name": model_table(job.model)["name"], "config": checksum(folder_of(job.model) / CONFIG)},
        "dtype": job.workshop().dtype,
        "conditions": list(job.conditions()),
        "files_per_shard": files,
        TOOLS: {name: metadata.version(name) for name in ("vcjax", "jax", "av", "pillow")},
    }


def _check_same(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in new:
        if key != TOOLS and old.get(key) != new[key]:
            raise BadInput(
                f"{folder} holds a data set that was made with {key} {old.get(key)}, not {new[key]}: "
                f"give another folder, or remove this one"
            )


def _begin(folder: Path, made: dict[str, Any]) -> None:
    """Write down what is being made, or see that it is what was begun."""
    plan = folder / WORK / PLAN
    if plan.is_file():
        _check_same(folder, json.loads(plan.read_text("utf-8")), made)
    elif folder.exists() and any(path.name != WORK for path in folder.iterdir()):
        raise BadInput(f"{folder} holds something else already: give another folder, or an empty one")
    else:
        _write_json(plan, made)


def _shards(items: Sequence[Item], size: int) -> list[Shard]:
    shards = []
    for split in dict.fromkeys(item.split for item in items):
        members = [item for item in items if item.split == split]
        parts = [tuple(members[i : i + size]) for i in range(0, len(members), size)]
        shards += [Shard(split, i, len(parts), part) for i, part in enumerate(parts)]
    return shards


def _finish(
    job: Job, folder: Path, shards: Sequence[Shard], lost: list[Lost], made: dict[str, Any]
) -> Description:
    """Put together what the markers say, and clear up."""
    splits: dict[str, list[int]] = {}
    for shard in shards:
        marker = json.loads(shard.marker(folder).read_text("utf-8"))
        lost += [Lost(*each) for each in marker["lost"]]
        for split, count in marker["counts"].items():
            splits.setdefault(split, []).append(count)
    with replacing(folder / REPORT) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([REPORT_COLUMNS, *map(dataclasses.astuple, lost)])
    kept = {split: tuple(lengths) for split, lengths in splits.items() if any(lengths)}
    if not kept:
        raise BadInput(f"nothing of {job.source} could be prepared: {folder / REPORT} says why")
    form = job.workshop().form
    description = Description(
        schema=SCHEMA,
        model=made["model"]["name"],
        clip=form.shape,
        latent=form.latent,
        conditions=to_settings(form.conditions),
        splits=kept,
        made=made,
    )
    for part in folder.glob(f".*{UNFINISHED}"):  # of runs that were killed
        part.unlink()
    write_description(folder, description)
    shutil.rmtree(folder / WORK)
    return description


def _write_json(path: Path, table: Any) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(table), "utf-8")
