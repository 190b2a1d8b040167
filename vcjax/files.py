"""Atomic writing of files: a file is either complete or absent."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from vcjax.errors import BadInput


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, which replaces `path` on success and is deleted on failure.

    The temporary path is in the same folder and has the same suffix. Missing parent folders are created.

    ```python
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)
    ```

    Args:
        path: file to write or replace.

    Raises:
        BadInput: the file cannot be written (no permission, disk full, `path` is a folder).
    """
    check_target(path)
    unfinished = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise BadInput(
            f"{path} cannot be written ({reason}); give a writable folder with enough space"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Check that a file could be written to a path, as far as possible without writing.

    Raises:
        BadInput: the path is a directory, or its folder is not a directory or not writable.
    """
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a directory; give the name of a file in it")
        existing = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); give another name") from error
    if not existing.is_dir():
        raise BadInput(f"{path} cannot be written because {existing} is not a directory; give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written (Permission denied); give a writable folder")
