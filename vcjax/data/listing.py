"""What there is to prepare: the files of a folder, of a manifest or of WebDataset's tar files, with their captions.

Nothing is opened here but captions, manifests and the tables of tar files, so that millions of files can be listed.
"""

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vcjax.errors import BadInput

TRAIN, VALIDATION = "train", "validation"
CAPTION = ".txt"
MANIFESTS = (".csv", ".jsonl", ".parquet")
TAR = ".tar"
COLUMNS = ("file", "caption", "split")  # of a manifest; the last two may be absent
SPLIT_NAME = r"[a-z][a-z0-9]*"  # TFDS reads names with underscores too; those are ours


@dataclasses.dataclass(frozen=True)
class Item:
    """One thing to be prepared: a video, a picture, or a clip that is rendered.

    Attributes:
        name: by which records and reports call it; no other item of the listing has it.
        caption: what it shows; empty where nobody said.
        split: that its clips go to.
        path: of the file, or of the tar file that it lies in; absolute, for workers elsewhere.
        part: where in the tar file it lies: first byte and size.
    """

    name: str
    caption: str
    split: str
    path: str = ""
    part: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Lost:
    """Something that is not kept.

    Attributes:
        name: of the item or of the clip.
        reason: why, in one sentence.
    """

    name: str
    reason: str


Found = Item | Lost


def list_footage(source: Path, validation: float) -> list[Found]:
    """Every file of a source, in an order that is the same everywhere, and what of it cannot be used.

    Args:
        source: a folder; a manifest with columns `file`, `caption` and `split` (the last two may be absent; files are
            relative to the manifest); or a tar file. Tar files in a folder are looked into.
        validation: share of the files that go to the split `validation`, chosen by their names alone; a manifest's
            own column decides where there is one.

    Raises:
        BadInput: the source is missing or of another kind, or its manifest has no column `file`.
    """
    if source.is_dir():
        found = _of_folder(source)
    elif not source.is_file():
        raise BadInput(f"{source} does not exist; give a folder, a manifest or a tar file of videos")
    elif source.suffix == TAR:
        found = _of_tar(source, source.name)
    elif source.suffix in MANIFESTS:
        found = _of_manifest(source)
    else:
        raise BadInput(
            f"{source} is neither a folder nor a file that lists footage; give a folder or one of "
            f"{', '.join((*MANIFESTS, TAR))}"
        )
    return list(_distinct(found, validation))


def split_of(name: str, validation: float) -> str:
    """The split of an item where nobody says: the same for the same name, whatever else is listed."""
    share = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return VALIDATION if share < validation else TRAIN


@contextlib.contextmanager
def opened(item: Item) -> Iterator[Path]:
    """A file with what the item is: its own, or a copy of its part of a tar file. Errors call it by the item's name.

    Raises:
        BadInput: the tar file cannot be read or ends too soon.
    """
    with contextlib.ExitStack() as stack:
        path = Path(item.path)
        if item.part:
            content = _part_of(item.path, *item.part)
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=PurePosixPath(item.name).suffix))
            copy.write(content)
            copy.flush()
            path = Path(copy.name)
        try:
            yield path
        except BadInput as error:
            raise BadInput(str(error).replace(str(path), item.name)) from error


def _part_of(path: str, first: int, size: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            file.seek(first)
            content = file.read(size)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a whole tar file") from error
    if len(content) < size:
        raise BadInput(f"{path} is cut off before byte {first + size}; give a whole tar file")
    return content


def _distinct(found: Iterable[Found], validation: float) -> Iterator[Found]:
    """With a split each, and each name once."""
    seen = set()
    for each in found:
        name = _text(each.name)
        if isinstance(each, Lost):
            yield Lost(name, _text(each.reason))
        elif name in seen:
            yield Lost(name, f"{name} is listed twice; the first counts")
        else:
            seen.add(name)
            split = each.split or split_of(name, validation)
            yield dataclasses.replace(each, name=name, caption=_text(each.caption), split=split)


def _text(text: str) -> str:
    """Text that can be stored anywhere: what is no Unicode in it, as names of files may hold, is spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


# -- folders


def _of_folder(root: Path) -> Iterator[Found]:
    """Every file below a folder, folders that are linked to included, each once."""
    for path, beside in _walk(root, set()):
        name = path.relative_to(root).as_posix()
        if isinstance(beside, str):
            yield Lost(name, beside)
        elif path.suffix == TAR:
            yield from _of_tar(path, name)
        elif path.suffix == CAPTION:
            if path.stem not in beside:
                yield Lost(name, f"{path} is the caption of no file beside it")
        else:
            try:
                yield Item(name, _caption_beside(path), "", str(path.absolute()))
            except BadInput as error:
                yield Lost(name, str(error))


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, set[str] | str]]:
    """Files below a folder in order, each with the stems of the media beside it; folders left out, with the reason."""
    try:
        about = folder.stat()
        paths = sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        yield folder, f"{folder} cannot be read ({error.strerror}); give a folder that you may read"
        return
    if (about.st_dev, about.st_ino) in seen:
        yield folder, f"{folder} is a link to a folder that is listed already"
        return
    seen.add((about.st_dev, about.st_ino))
    stems = {path.stem for path in paths if path.suffix != CAPTION}
    for path in paths:
        if path.is_dir():
            yield from _walk(path, seen)
        else:
            yield path, stems


def _caption_beside(path: Path) -> str:
    beside = path.with_suffix(CAPTION)
    try:
        return beside.read_text("utf-8").strip() if beside.is_file() else ""
    except UnicodeDecodeError as error:
        raise BadInput(f"{beside} is not text in UTF-8; give a caption that is") from error
    except OSError as error:
        raise BadInput(f"{beside} cannot be read ({error.strerror}); give a caption that can be") from error


# -- manifests


def _of_manifest(path: Path) -> Iterator[Found]:
    rows = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[path.suffix](path)
    for number, row in rows:
        where = f"{path.name}, row {number}"
        if isinstance(row, str):
            yield Lost(where, f"{where} {row}")
            continue
        file, caption, split = (row.get(column) or "" for column in COLUMNS)
        texts = all(isinstance(value, str) for value in (file, caption, split))
        if not file or not texts or "\0" in file:
            yield Lost(
                where, f"{where} must have a text for file, and for caption and split if any, not {row}"
            )
        elif split and not re.fullmatch(SPLIT_NAME, split):
            yield Lost(where, f"{where}: split must be a word of small letters and digits, not {split!r}")
        else:
            yield Item(Path(file).as_posix(), caption.strip(), split, str(path.parent.absolute() / file))


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            yield from enumerate(reader, start=1)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as csv in UTF-8: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    try:
        lines = path.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as lines of json in UTF-8: {error}") from error
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            yield number, row if isinstance(row, dict) else "must be a table in json"


def _parquet_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    import pyarrow
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        _check_columns(path, file.schema_arrow.names)
        columns = [name for name in COLUMNS if name in file.schema_arrow.names]
        rows = (row for batch in file.iter_batches(columns=columns) for row in batch.to_pylist())
        yield from enumerate(rows, start=1)
    except (OSError, pyarrow.ArrowException) as error:
        raise BadInput(f"{path} cannot be read as parquet: {error}") from error


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    if COLUMNS[0] not in columns:
        raise BadInput(
            f"{path} must have a column {COLUMNS[0]!r}, and may have {COLUMNS[1]!r} and {COLUMNS[2]!r}"
        )


# -- WebDataset's tar files


def _of_tar(path: Path, name: str) -> Iterator[Found]:
    """The members of a tar file; those with the same name up to its first dot belong together."""
    captions: dict[str, str] = {}
    media: list[tuple[str, tarfile.TarInfo]] = []
    trouble = None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, _, kind = file.partition(".")
                if not member.isfile() or not stem:
                    continue
                key = f"{folder}/{stem}"
                if kind in ("txt", "json"):
                    captions[key] = captions.get(key) or _caption_in(tar, member, kind)
                else:
                    media.append((key, member))
        with path.open("rb") as file:  # where a header is cut off, tarfile takes it for the end
            file.seek(tar.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError("unexpected end of data")
    except (tarfile.TarError, OSError) as error:
        trouble = Lost(
            name,
            f"{path} cannot be read as a tar file from some place on ({error}); give a whole one, not packed",
        )
    for key, member in media:
        part = (member.offset_data, member.size)
        yield Item(f"{name}/{member.name}", captions.get(key, ""), "", str(path.absolute()), part)
    if trouble:
        yield trouble


def _caption_in(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> str:
    """A sample's caption: its text, or `caption` of its json."""
    file = tar.extractfile(member)
    text = file.read().decode("utf-8", "replace") if file else ""
    if kind == "txt":
        return text.strip()
    try:
        table = json.loads(text)
    except ValueError:
        return ""
    caption = table.get(COLUMNS[1]) if isinstance(table, dict) else None
    return caption.strip() if isinstance(caption, str) else ""
