"""Exceptions and warnings for invalid user input."""

from collections.abc import Iterator
from contextlib import contextmanager


class BadInput(ValueError):
    """Error for invalid input: a file, an option, an array or a configuration.

    The message is one sentence that names the input, says what is wrong with it, and what would be right. The
    command line prints the message and exits with code 2. No partial files are left behind.

    Attributes:
        field: part of the request that is wrong, such as `conditions.depth`, for whoever shows the message beside it; None
            where the message alone says it.
    """

    field: str | None = None


@contextmanager
def about(field: str) -> Iterator[None]:
    """Let errors inside this context say which part of the request they are about; of nested contexts the outermost decides."""
    try:
        yield
    except BadInput as error:
        error.field = field
        raise


class VcjaxWarning(UserWarning):
    """Warning for damaged or unusual input that was used in part; the message says which part."""
