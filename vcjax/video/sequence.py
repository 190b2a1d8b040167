"""Image sequences: the images of a folder, or of a pattern such as `frame_%04d.png`, as the frames of a video."""

import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vcjax.errors import BadInput
from vcjax.files import check_target

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".tif", ".tiff", ".bmp", ".ppm", ".jp2")
_PATTERN = re.compile(r"%0(\d)d")
_NUMBER = re.compile(r"(\d+)")


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names the images of a sequence, as `frame_%04d.png`."""
    return _PATTERN.search(Path(path).name) is not None


def frame_path(path: str | os.PathLike[str], index: int) -> Path:
    """Return the path of a frame of a pattern."""
    path = Path(path)
    return path.with_name(_PATTERN.sub(lambda found: f"{index:0{found[1]}d}", path.name))


def sequence_files(path: Path) -> list[Path] | None:
    """Return the images of a folder or of a pattern in order; None where the path is neither.

    Images are in the order of the numbers in their names: frame_10 comes after frame_9.

    Raises:
        BadInput: there are no images.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and file.name[0] != "."]
        what = f"images ({', '.join(SUFFIXES)})"
    elif is_pattern(path) and not path.exists():
        first, _, last = _PATTERN.sub("\0", path.name).partition("\0")
        name = re.compile(f"{re.escape(first)}\\d+{re.escape(last)}")
        files = [file for file in _entries(path.parent) if name.fullmatch(file.name)]
        what = "images of that pattern"
    else:
        return None
    if not files:
        where = f"{path} is a directory that contains no" if path.is_dir() else f"{path} names no"
        raise BadInput(f"{where} {what}; give a video, an image or images")
    return sorted(files, key=lambda file: [int(x) if x.isdecimal() else x for x in _NUMBER.split(file.name)])


def write_sequence(frames: UInt8[np.ndarray, "F H W 3"], path: Path, comment: str) -> None:
    """Write frames as the PNG images of a pattern; the comment is stored in the first.

    All images are written before the first takes its place.

    Raises:
        BadInput: the folder cannot be written, or holds further images of the pattern, which would belong to this video.
    """
    check_sequence(path, len(frames))
    folder = path.parent / f".{uuid.uuid4().hex}"
    try:
        folder.mkdir(parents=True)
        for index, pixels in enumerate(frames):
            metadata = PngInfo()
            if comment and index == 0:
                metadata.add_itxt("Comment", comment)
            Image.fromarray(pixels).save(folder / frame_path(path, index).name, "PNG", pnginfo=metadata)
        for index in range(len(frames)):
            target = frame_path(path, index)
            (folder / target.name).replace(target)
    except OSError as error:
        raise BadInput(
            f"{path} cannot be written ({error.strerror or error}); give a writable folder with enough space"
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check_sequence(path: Path, count: int | None = None) -> None:
    """Raise BadInput where the images of a pattern cannot be written, or would be mixed with more than `count` others."""
    if path.suffix.lower() != ".png":
        raise BadInput(f"{path}: an image sequence must be of .png files, such as frame_%04d.png")
    check_target(frame_path(path, 0))
    if count is not None and frame_path(path, count).exists():
        raise BadInput(
            f"{frame_path(path, count)} is of a longer sequence: delete it, or give another folder or name"
        )


def _entries(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except OSError as error:
        raise BadInput(
            f"{folder} cannot be read ({error.strerror}); give a video, an image or images"
        ) from error


def check_files(files: Sequence[Path]) -> None:
    """Raise BadInput where a file of a sequence is not a regular one."""
    for file in files:
        if not file.is_file():
            raise BadInput(f"{file} is not a regular file; give images")
