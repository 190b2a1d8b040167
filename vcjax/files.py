"""Writing files so that nothing half-written is ever left."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from vcjax.errors import BadInput


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, which becomes `path` if all goes well and vanishes if anything fails.

    The suffix is kept, and missing parent folders are made.

    ```python
    with replacing(path) as unfinished:
        unfinished.write_bytes(data)
    ```

    Raises:
        BadInput: the file system refuses (no permission, a full disk, a folder of that name), in one sentence.
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
            f"{path} cannot be written ({reason}); give a folder with room that you may write to"
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def check_target(path: Path) -> None:
    """Raise BadInput where a file of this name could not be written, as far as can be told without writing."""
    try:
        if path.is_dir():
            raise BadInput(f"{path} is a directory; give the name of a file in it")
        existing = next(folder for folder in path.parents if folder.exists())
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}); give another name") from error
    if not existing.is_dir():
        raise BadInput(f"{path} cannot be written because {existing} is not a directory; give another folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise BadInput(f"{path} cannot be written (Permission denied); give a folder that you may write to")
