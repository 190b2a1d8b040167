"""What a person can get wrong, and how they are told: one sentence that names it and says what would be right."""


class BadInput(ValueError):
    """Something from outside (a file, a flag, an array, a configuration) cannot be used.

    The message is one sentence that names the thing, says what is wrong with it, and what would be right.
    The command line prints it and exits with code 2; nothing half-written is left behind.
    """


class VcjaxWarning(UserWarning):
    """Something from outside is damaged or unusual but was used as far as it goes; the message says how far."""
