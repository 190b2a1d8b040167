"""Exceptions and warnings for invalid user input."""

import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 120
_REPR.maxlist = _REPR.maxtuple = _REPR.maxdict = 8
MAX_VALUE, MAX_MESSAGE = 300, 3000  # characters of a value in a message, and of the whole


def brief(value: Any) -> str:
    """Return a value as messages show it: shortened where it is long or nested deeply."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**18:
        return "an integer of more than 18 digits"  # thousands of digits cannot be shown at all
    text = _REPR.repr(value)
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}..."


class BadInput(ValueError):
    """Error for invalid input: a file, an option, an array or a configuration.

    The message is one sentence that names the input, says what is wrong with it, and what would be right. The
    command line prints the message and exits with code 2. No partial files are left behind.

    Attributes:
        field: part of the request that is wrong, such as `conditions.depth`, for whoever shows the message beside it; None
            where the message alone says it.
    """

    field: str | None = None

    def __init__(self, message: str) -> None:
        super().__init__(_shortened(message))


def _shortened(message: str) -> str:
    """Return a message without its middle where it repeats a value of thousands of characters."""
    if len(message) <= MAX_MESSAGE:
        return message
    half = MAX_MESSAGE // 2
    return f"{message[:half]} [...] {message[-half:]}"


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
