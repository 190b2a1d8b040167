"""How a long call tells how far it is."""

from collections.abc import Callable

Tell = Callable[[str, int, int], None]  # a stage, what is done of it, and how much it is
