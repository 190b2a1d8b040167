"""Errors of the HTTP interface: a sentence and a status."""

from vcjax.errors import BadInput


class Refused(BadInput):
    """Error for a request that the server refuses.

    Args:
        status: HTTP status.
        message: one sentence that says what is wrong and what would be right.
        field: see `BadInput`.
    """

    def __init__(self, status: int, message: str, field: str | None = None):
        super().__init__(message)
        self.status = status
        self.field = field
