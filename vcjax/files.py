"""Atomic writing: a file or a set of files is either complete or absent, and what was there before is kept until then."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from vcjax.errors import BadInput
from vcjax.input_files import MEGABYTE, check_regular

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
MAX_NEW_FOLDERS = 100  # nested; more are a mistake, and beyond what file systems take
MAX_PATH = 4000  # bytes: Linux takes 4096, and a temporary name is longer than the final one


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` on success and is deleted on failure.

    The temporary path is in the same folder and has the same suffix. Missing parent folders are created. The content is on
    the disk before it takes its place, so that a power failure leaves the old file or the new one.

    ```python
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)
    ```

    Args:
        path: file to write or replace.

    Raises:
        BadInput: the file cannot be written (no permission, disk full, `path` is a folder). Other errors of the body, such
            as those of reading another file, are raised as they are.
    """
    check_target(path)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        _sync(unfinished)
        unfinished.replace(path)
        _sync(path.parent)
    except OSError as error:
        if error.filename is not None and str(error.filename) not in map(
            str, (unfinished, path, *path.parents)
        ):
            raise  # another file's
        raise BadInput(
            f"{path} cannot be written ({_reason(error)}); give a writable folder with enough space"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_all(folder: Path, last: str = "") -> Iterator[Path]:
    """Yield an empty folder to write files to, which move into `folder` together on success and are deleted on failure.

    Files of the same names are replaced, and others are kept. Messages name the files as they are called in the end.

    ```python
    with replacing_all(folder, last="config.json") as staging:
        write_component(staging, "unet", parameters)
        write_config(staging, config)
    ```

    Args:
        folder: folder of the files; created where it is missing.
        last: name of the file that is moved last, because it makes the others valid.

    Raises:
        BadInput: a file cannot be written.
    """
    check_target(folder / (last or "file"))
    created = not folder.exists()
    staging = folder / f".{uuid.uuid4().hex}"
    try:
        with _naming(staging, folder), writing_to(folder):
            staging.mkdir(parents=True)
            yield staging
            for path in sorted(staging.iterdir(), key=lambda path: path.name == last):
                path.replace(folder / path.name)
            _sync(folder)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        if created:
            with contextlib.suppress(OSError):  # it holds something by now
                folder.rmdir()
        raise
    staging.rmdir()


@contextlib.contextmanager
def _naming(staging: Path, folder: Path) -> Iterator[None]:
    """Name the folder instead of the temporary one in messages."""
    try:
        yield
    except BadInput as error:
        raise BadInput(str(error).replace(str(staging), str(folder))) from error


@contextlib.contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Report in one sentence that something in a folder could not be written; other errors are raised as they are.

    Raises:
        BadInput: the disk is full, or the folder not writable.
    """
    try:
        yield
    except OSError as error:
        inside = error.filename is not None and Path(str(error.filename)).is_relative_to(folder)
        if not (inside or (error.filename is None and error.errno in FULL)):
            raise
        raise BadInput(
            f"{folder} cannot be written ({_reason(error)}); give a writable folder with enough space"
        ) from error


def check_space(folder: Path, needed: int, what: str) -> None:
    """Raise BadInput where the disk of a folder has less space than needed.

    Args:
        folder: folder, which exists.
        needed: bytes.
        what: what takes them, as the subject of the sentence.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise BadInput(
            f"{what} takes {needed / MEGABYTE:.0f} MiB, and the disk of {folder} has {free / MEGABYTE:.0f} MiB left; "
            "make space, or give another folder"
        )


def copy_file(source: Path, target: Path) -> None:
    """Copy a file.

    Raises:
        BadInput: the source cannot be read, or the target not written.
    """
    check_regular(source)
    try:
        file = source.open("rb")
    except OSError as error:
        raise BadInput(f"{source} cannot be read: {error.strerror}") from error
    with file, replacing(target) as unfinished, unfinished.open("wb") as copy:
        shutil.copyfileobj(file, copy, 2**20)


@contextlib.contextmanager
def locked(folder: Path, user: str) -> Iterator[None]:
    """Hold a folder for one process inside this context; the system releases it when the process ends in any way.

    Args:
        folder: folder that exists.
        user: what holds it, in the error message.

    Raises:
        BadInput: another process holds it.
    """
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                f"{folder} is in use by another {user}; wait for its end, or give another folder"
            ) from error
        yield
    finally:
        os.close(held)


def check_target(path: Path) -> None:
    """Check that a file could be written to a path, as far as possible without writing.

    Raises:
        BadInput: the path is a directory or too long, or its folder is not a directory or not writable.
    """
    if len(os.fsencode(path.absolute())) > MAX_PATH:
        raise BadInput(f"{path} is too long for the name of a file; give a shorter one")
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a directory; give the name of a file in it")
        missing, existing = next((i, folder) for i, folder in enumerate(path.parents) if folder.exists())
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); give another name") from error
    if not existing.is_dir():
        raise BadInput(f"{path} cannot be written because {existing} is not a directory; give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written (Permission denied); give a writable folder")
    if missing > MAX_NEW_FOLDERS:
        raise BadInput(
            f"{path} cannot be written: {missing} of its folders do not exist; give another folder"
        )


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EROFS):  # a file system that cannot sync this
            raise
    finally:
        os.close(descriptor)


def _reason(error: OSError) -> str:
    """Return the system's reason; NumPy and Pillow give none where a write was cut short."""
    return error.strerror or "not all of it could be written: the disk may be full"
