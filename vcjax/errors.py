"""Exceptions and warnings for invalid user input."""


class BadInput(ValueError):
    """Error for invalid input: a file, an option, an array or a configuration.

    The message is one sentence that names the input, says what is wrong with it, and what would be right. The
    command line prints the message and exits with code 2. No partial files are left behind.
    """


class VcjaxWarning(UserWarning):
    """Warning for damaged or unusual input that was used in part; the message says which part."""
