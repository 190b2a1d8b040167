"""Source files with their captions: a folder, a manifest, or tar files of WebDataset.

Only captions, manifests and the headers of tar files are read, so that millions of files can be listed.
"""

import contextlib
import csv
import dataclasses
import hashlib
import os
import re
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from vcjax.errors import BadInput
from vcjax.input_files import MEGABYTE, parse_json, read_text

TRAIN, VALIDATION = "train", "validation"
CAPTION = ".txt"
MANIFESTS = (".csv", ".jsonl", ".parquet")
TAR = ".tar"
COLUMNS = ("file", "caption", "split")  # of a manifest; the last two are optional
MAX_MANIFEST, MAX_CAPTION = 1024 * MEGABYTE, MEGABYTE  # bytes: a caption has a few hundred
SPLIT_NAME = r"[a-z][a-z0-9]*"  # without underscores, which `records.IMAGES` uses


@dataclasses.dataclass(frozen=True)
class Item:
    """A source of clips: a video, an image, or a rendered clip.

    Attributes:
        name: unique name in records and reports.
        caption: caption; empty where there is none.
        split: split of its clips.
        path: absolute path of the file, or of the tar file that contains it.
        byte_range: first byte and size within the tar file.
    """

    name: str
    caption: str
    split: str
    path: str = ""
    byte_range: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class SkippedFile:
    """A file or clip that is left out of the data set.

    Attributes:
        name: name of the item or clip.
        reason: reason, in one sentence.
    """

    name: str
    reason: str


Entry = Item | SkippedFile


def list_videos(source: Path, validation: float) -> list[Entry]:
    """List the files of a source in a deterministic order, and those that cannot be used.

    Args:
        source: a folder; a manifest with columns `file` (path relative to the manifest), `caption` and
            `split` (both optional); or a tar file. A folder is searched recursively, tar files included.
        validation: fraction of the files in the split `validation`, selected by their names; the column
            `split` of a manifest takes precedence.

    Raises:
        BadInput: the source is missing or of another type, or the manifest has no column `file`.
    """
    if source.is_dir():
        found = _list_folder(source)
    elif not source.is_file():
        raise BadInput(f"{source} does not exist; give a folder, a manifest or a tar file of videos")
    elif source.suffix == TAR:
        found = _list_tar(source, source.name)
    elif source.suffix in MANIFESTS:
        found = _list_manifest(source)
    else:
        raise BadInput(
            f"{source} is neither a folder nor a manifest; give a folder of videos or one of "
            f"{', '.join((*MANIFESTS, TAR))}"
        )
    return list(_deduplicate(found, validation))


def assign_split(name: str, validation: float) -> str:
    """Return the split of an item, a function of its name only."""
    fraction = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) / 2**64
    return VALIDATION if fraction < validation else TRAIN


@contextlib.contextmanager
def open_item(item: Item) -> Iterator[Path]:
    """Yield the path of an item's file, or of a temporary copy of a member of a tar file.

    Errors inside the context name the item instead of the copy.

    Raises:
        BadInput: the tar file cannot be read or is truncated.
    """
    with contextlib.ExitStack() as stack:
        path = Path(item.path)
        if item.byte_range:
            content = _read_range(item.path, *item.byte_range)
            copy = stack.enter_context(tempfile.NamedTemporaryFile(suffix=PurePosixPath(item.name).suffix))
            copy.write(content)
            copy.flush()
            path = Path(copy.name)
        try:
            yield path
        except BadInput as error:
            raise BadInput(str(error).replace(str(path), item.name)) from error


def _read_range(path: str, first: int, size: int) -> bytes:
    try:
        with Path(path).open("rb") as file:
            file.seek(first)
            content = file.read(size)
    except OSError as error:
        raise BadInput(f"{path} cannot be read ({error.strerror}); give a complete tar file") from error
    if len(content) < size:
        raise BadInput(f"{path} is truncated before byte {first + size}; give a complete tar file")
    return content


def _deduplicate(found: Iterable[Entry], validation: float) -> Iterator[Entry]:
    """Yield each name once, with a split."""
    seen = set()
    for each in found:
        name = _to_unicode(each.name)
        if isinstance(each, SkippedFile):
            yield SkippedFile(name, _to_unicode(each.reason))
        elif name in seen:
            yield SkippedFile(name, f"{name} is listed twice; the first entry is used")
        else:
            seen.add(name)
            split = each.split or assign_split(name, validation)
            yield dataclasses.replace(each, name=name, caption=_to_unicode(each.caption), split=split)


def _to_unicode(text: str) -> str:
    """Return text with escapes in place of what is not valid Unicode, as in names of files."""
    return text.encode("utf-8", "backslashreplace").decode()


# -- folders


def _list_folder(root: Path) -> Iterator[Entry]:
    """Yield every file below a folder once; symbolic links to folders are followed."""
    for path, stems in _walk(root, set()):
        name = path.relative_to(root).as_posix()
        if isinstance(stems, str):
            yield SkippedFile(name, stems)
        elif path.suffix == TAR:
            yield from _list_tar(path, name)
        elif path.suffix == CAPTION:
            if path.stem not in stems:
                yield SkippedFile(name, f"{path} is a caption without a video or image")
        else:
            try:
                yield Item(name, _read_caption(path), "", str(path.absolute()))
            except BadInput as error:
                yield SkippedFile(name, str(error))


def _walk(folder: Path, seen: set[tuple[int, int]]) -> Iterator[tuple[Path, set[str] | str]]:
    """Yield files in order with the stems of the media beside them, or a folder and why it is skipped."""
    try:
        status = folder.stat()
        paths = sorted(folder / name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        yield folder, f"{folder} cannot be read ({error.strerror}); give a readable folder"
        return
    if (status.st_dev, status.st_ino) in seen:
        yield folder, f"{folder} is a link to a folder that is already listed"
        return
    seen.add((status.st_dev, status.st_ino))
    stems = {path.stem for path in paths if path.suffix != CAPTION}
    for path in paths:
        if path.is_dir():
            yield from _walk(path, seen)
        else:
            yield path, stems


def _read_caption(path: Path) -> str:
    caption = path.with_suffix(CAPTION)
    return read_text(caption, MAX_CAPTION).strip() if caption.is_file() else ""


# -- manifests


def _list_manifest(path: Path) -> Iterator[Entry]:
    rows = {".csv": _csv_rows, ".jsonl": _jsonl_rows, ".parquet": _parquet_rows}[path.suffix](path)
    for number, row in rows:
        where = f"{path.name}, row {number}"
        if isinstance(row, str):
            yield SkippedFile(where, f"{where} {row}")
            continue
        file, caption, split = (row.get(column) or "" for column in COLUMNS)
        texts = all(isinstance(value, str) for value in (file, caption, split))
        if not file or not texts or "\0" in file:
            yield SkippedFile(
                where, f"{where} must have text for file, and for caption and split if any, not {row}"
            )
        elif split and not re.fullmatch(SPLIT_NAME, split):
            yield SkippedFile(
                where, f"{where}: split must consist of lower-case letters and digits, not {split!r}"
            )
        else:
            yield Item(Path(file).as_posix(), caption.strip(), split, str(path.parent.absolute() / file))


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            _check_columns(path, reader.fieldnames or ())
            yield from enumerate(reader, start=1)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read as CSV in UTF-8: {error}") from error


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any] | str]]:
    lines = read_text(path, MAX_MANIFEST, "utf-8-sig").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                row = parse_json(line, "the row")
            except BadInput:
                row = None
            yield number, row if isinstance(row, dict) else "must be a JSON object"


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
        raise BadInput(f"{path} cannot be read as Parquet: {error}") from error


def _check_columns(path: Path, columns: Iterable[str]) -> None:
    if COLUMNS[0] not in columns:
        raise BadInput(
            f"{path} must have a column {COLUMNS[0]!r}, and may have {COLUMNS[1]!r} and {COLUMNS[2]!r}"
        )


# -- WebDataset's tar files


def _list_tar(path: Path, name: str) -> Iterator[Entry]:
    """Yield the members of a tar file; members with the same name up to its first dot are one sample."""
    captions: dict[str, str] = {}
    media: list[tuple[str, tarfile.TarInfo]] = []
    skipped = None
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                folder, _, file = member.name.rpartition("/")
                stem, _, kind = file.partition(".")
                if not member.isfile() or not stem:
                    continue
                key = f"{folder}/{stem}"
                if kind in ("txt", "json"):
                    captions[key] = captions.get(key) or _read_tar_caption(tar, member, kind)
                else:
                    media.append((key, member))
        with path.open("rb") as file:  # tarfile takes a truncated header for the end
            file.seek(tar.offset)
            if any(file.read(tarfile.BLOCKSIZE)):
                raise tarfile.ReadError("unexpected end of data")
    except (tarfile.TarError, OSError) as error:
        skipped = SkippedFile(
            name,
            f"{path} is truncated, damaged or compressed ({error}); give a complete, uncompressed tar file",
        )
    for key, member in media:
        byte_range = (member.offset_data, member.size)
        yield Item(f"{name}/{member.name}", captions.get(key, ""), "", str(path.absolute()), byte_range)
    if skipped:
        yield skipped


def _read_tar_caption(tar: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> str:
    """Return the caption of a sample: its text file, or `caption` of its JSON file."""
    file = tar.extractfile(member)
    text = file.read(MAX_CAPTION).decode("utf-8", "replace") if file else ""
    if kind == "txt":
        return text.strip()
    try:
        table = parse_json(text, member.name)
    except BadInput:
        return ""
    caption = table.get(COLUMNS[1]) if isinstance(table, dict) else None
    return caption.strip() if isinstance(caption, str) else ""
