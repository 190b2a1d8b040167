"""Preparation of a data set from source videos, on Apache Beam; it can be interrupted and resumed.

1. List the source files and split them into shards of a fixed number of files, deterministically.
2. Each shard is one element of the Beam pipeline (`prepare_shard`): it writes the records of the shard, then
a marker
   file with the counts and the skipped files. Both are renamed when complete, so that finished shards
   persist.
3. The markers are merged into report.csv and dataset.json; the latter marks the data set as complete.

TFDS's own Beam writer shuffles all records at the end of the pipeline, into a folder with a random name: an
interrupted run would leave nothing. Only its schema, metadata and readers are used (`vcjax.data.builder`).
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

from vcjax.composer.loading import folder_of, load_model_config
from vcjax.conditions.base import ClipShape
from vcjax.conditions.catalogue import conditions_to_config
from vcjax.data.beam import run
from vcjax.data.features import FeatureExtractor, shared_extractor
from vcjax.data.manifest import Entry, Item, SkippedFile
from vcjax.data.records import IMAGES, SCHEMA, Description, read_description, write_description
from vcjax.data.shards import DESCRIPTION, UNFINISHED, ShardWriter, shard_path
from vcjax.data.videos import Sample
from vcjax.errors import BadInput
from vcjax.files import replacing
from vcjax.input_files import read_json
from vcjax.progress import ProgressCallback
from vcjax.weights.folder import CONFIG, checksum

WORK = ".work"  # subfolder of the markers, until the data set is complete
PLAN = "plan.json"  # in it: the configuration of the preparation
REPORT = "report.csv"
REPORT_COLUMNS = ("name", "reason")
# Many shards, so that an interruption loses little work, but not so many that the file system is slow.
NUM_SHARDS, MAX_FILES_PER_SHARD = 256, 1000
VERSIONS = "with"  # key of package versions, which may differ when a preparation is resumed


@runtime_checkable
class Source(Protocol):
    """Source of clips. It is pickled for workers, and its fields are recorded in the data set.

    Class attributes:
        provides: conditions whose stored features the samples contain.
    """

    provides: ClassVar[tuple[str, ...]]

    def manifest(self) -> list[Entry]:
        """List the items in a deterministic order."""
        ...

    def samples(self, item: Item, shape: ClipShape) -> Iterator[Sample | SkippedFile]:
        """Yield the clips of an item; raises BadInput where there is none."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Configuration of a preparation, which determines the records and their files.

    Attributes:
        source: source of the clips.
        model: built-in model or path of a model folder, whose networks compute latents and conditions.
        compute_dtype: type that they compute in; the default of the device where None.
        without: conditions of the model that are not stored.
        files_per_shard: source files per shard; from the number of files where None.
    """

    source: Source
    model: str = "tiny"
    compute_dtype: str | None = None
    without: tuple[str, ...] = ()
    files_per_shard: int | None = None

    def conditions(self) -> tuple[str, ...]:
        """Return the names of the stored conditions; BadInput where `without` names an unknown one."""
        names = tuple(load_model_config(self.model)["conditions"])
        for name in self.without:
            if name not in names:
                raise BadInput(f"--without {name}: model {self.model} has only {', '.join(names)}")
        return tuple(name for name in names if name not in self.without)

    def with_absolute_paths(self) -> "Job":
        """Return the job with the absolute path of a model folder, for workers in another directory."""
        folder = Path(self.model)
        return dataclasses.replace(self, model=str(folder.absolute())) if folder.is_dir() else self

    def extractor(self) -> FeatureExtractor:
        """Return the feature extractor of this process."""
        provided = tuple(self.source.provides)
        return shared_extractor(self.model, self.compute_dtype, self.conditions(), provided)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One element of the Beam pipeline.

    Attributes:
        split: split of its clips.
        index: index of the shard in the split.
        count: number of shards of the split.
        items: source files.
    """

    split: str
    index: int
    count: int
    items: tuple[Item, ...]

    def marker(self, folder: Path) -> Path:
        """Return the path of the marker file, which exists when the shard is finished."""
        return folder / WORK / f"{self.split}-{self.index:05d}.json"


def prepare(
    job: Job, folder: Path, *, options: Any = None, progress: ProgressCallback | None = None
) -> Description:
    """Prepare a data set, or resume its preparation; a finished data set is left unchanged.

    ```python
    prepare(Job(source=Videos(path="videos"), without=("depth",)), Path("data/mine"))
    ```

    Args:
        job: configuration of the preparation.
        folder: folder of the data set.
        options: options of the pipeline (`vcjax.data.beam.pipeline_options`); all cores of this machine where
            None.
        progress: progress callback, in files.

    Raises:
        BadInput: the source, the model or the folder cannot be used, no file of the source can be used, or
            the folder has a data set of another configuration.
    """
    job, folder = job.with_absolute_paths(), folder.absolute()
    job.extractor()  # reports errors of the model first
    found = job.source.manifest()
    items = [each for each in found if isinstance(each, Item)]
    if not items:
        raise BadInput(f"there is nothing to prepare in {job.source}: give a source with videos")
    provenance = _provenance(job, items)
    if (folder / DESCRIPTION).is_file():
        description = read_description(folder)
        _check_same(folder, description.made, provenance)
        shutil.rmtree(folder / WORK, ignore_errors=True)
        if progress:
            progress("prepared", len(items), len(items))
        return description
    _start(folder, provenance)
    shards = _shards(items, provenance["files_per_shard"])
    pending = [shard for shard in shards if not shard.marker(folder).is_file()]

    def report() -> None:
        if progress:
            markers = {path.name for path in (folder / WORK).iterdir()}
            done = sum(len(shard.items) for shard in shards if shard.marker(folder).name in markers)
            progress("preparing", done, len(items))

    try:
        run(partial(prepare_shard, job, folder), pending, options, report)
    except BaseException:
        _remove_unfinished(folder)  # of other shards, which other threads were writing
        raise
    return _finish(job, folder, shards, [each for each in found if isinstance(each, SkippedFile)], provenance)


def prepare_shard(job: Job, folder: Path, shard: Shard) -> None:
    """Write the records of one shard, and its marker, which lists the skipped files and clips."""
    extractor = job.extractor()
    shape = extractor.codec.shape
    skipped: list[SkippedFile] = []
    image_split = shard.split + IMAGES
    with (
        ShardWriter(shard_path(folder, shard.split, shard.index, shard.count)) as clips,
        ShardWriter(shard_path(folder, image_split, shard.index, shard.count)) as images,
    ):
        for item in shard.items:
            for sample in _samples(job.source, item, shape):
                if isinstance(sample, SkippedFile):
                    skipped.append(sample)
                    continue
                try:
                    record = extractor.record(sample)
                except BadInput as error:
                    skipped.append(SkippedFile(sample.name, str(error)))
                    continue
                (clips if len(sample.clip) == shape.frames else images).write(record)
    counts = {shard.split: clips.count, image_split: images.count}
    _write_json(
        shard.marker(folder), {"counts": counts, "skipped": [dataclasses.astuple(each) for each in skipped]}
    )


def read_report(folder: Path) -> list[SkippedFile]:
    """Read the skipped files of a data set from report.csv."""
    with (folder / REPORT).open(newline="", encoding="utf-8") as file:
        return [SkippedFile(*row) for row in csv.reader(file)][1:]


def _samples(source: Source, item: Item, shape: ClipShape) -> Iterator[Sample | SkippedFile]:
    try:
        yield from source.samples(item, shape)
    except BadInput as error:
        yield SkippedFile(item.name, str(error))


def _provenance(job: Job, items: Sequence[Item]) -> dict[str, Any]:
    """Return the configuration as recorded in the data set."""
    rows = [(item.name, item.caption, item.split) for item in items]
    digest = hashlib.sha256(json.dumps(rows).encode()).hexdigest()
    files = job.files_per_shard or min(math.ceil(len(items) / NUM_SHARDS), MAX_FILES_PER_SHARD)
    return {
        "source": {"kind": type(job.source).__name__, **vars(job.source)},
        "videos": {"files": len(items), "sha256": digest},
        "model": {
            "name": load_model_config(job.model)["name"],
            "config": checksum(folder_of(job.model) / CONFIG),
        },
        "compute_dtype": job.extractor().compute_dtype,
        "conditions": list(job.conditions()),
        "files_per_shard": files,
        VERSIONS: {name: metadata.version(name) for name in ("vcjax", "jax", "av", "pillow")},
    }


def _check_same(folder: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    for key in new:
        if key != VERSIONS and old.get(key) != new[key]:
            raise BadInput(
                f"{folder} has a data set that was prepared with {key} {old.get(key)}, not {new[key]}: "
                "give another folder, or remove this one"
            )


def _start(folder: Path, provenance: dict[str, Any]) -> None:
    """Write the configuration, or check that an interrupted preparation has the same."""
    plan = folder / WORK / PLAN
    if plan.is_file():
        _check_same(folder, read_json(plan), provenance)
    elif folder.exists() and any(path.name != WORK for path in folder.iterdir()):
        raise BadInput(f"{folder} contains other files: give a new or empty folder")
    else:
        _write_json(plan, provenance)


def _shards(items: Sequence[Item], size: int) -> list[Shard]:
    shards = []
    for split in dict.fromkeys(item.split for item in items):
        members = [item for item in items if item.split == split]
        parts = [tuple(members[i : i + size]) for i in range(0, len(members), size)]
        shards += [Shard(split, i, len(parts), part) for i, part in enumerate(parts)]
    return shards


def _finish(
    job: Job, folder: Path, shards: Sequence[Shard], skipped: list[SkippedFile], provenance: dict[str, Any]
) -> Description:
    """Merge the markers, write report and description, and remove temporary files."""
    splits: dict[str, list[int]] = {}
    for shard in shards:
        marker = read_json(shard.marker(folder))
        skipped += [SkippedFile(*each) for each in marker["skipped"]]
        for split, count in marker["counts"].items():
            splits.setdefault(split, []).append(count)
    with replacing(folder / REPORT) as unfinished, unfinished.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([REPORT_COLUMNS, *map(dataclasses.astuple, skipped)])
    non_empty = {split: tuple(lengths) for split, lengths in splits.items() if any(lengths)}
    if not non_empty:
        raise BadInput(f"no file of {job.source} could be prepared: {folder / REPORT} has the reasons")
    codec = job.extractor().codec
    description = Description(
        schema=SCHEMA,
        model=provenance["model"]["name"],
        clip=codec.shape,
        latent=codec.latent,
        conditions=conditions_to_config(codec.conditions),
        splits=non_empty,
        made=provenance,
    )
    _remove_unfinished(folder)
    write_description(folder, description)
    shutil.rmtree(folder / WORK)
    return description


def _remove_unfinished(folder: Path) -> None:
    """Remove the incomplete files of shards, which interrupted runs leave."""
    for unfinished in folder.glob(f".*{UNFINISHED}"):
        unfinished.unlink(missing_ok=True)


def _write_json(path: Path, table: Any) -> None:
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(table), "utf-8")
