"""Branches of classifier-free guidance: the conditions of each, and the strengths of conditions."""

from collections.abc import Collection, Mapping
from typing import Any

from vcjax.conditions.base import Condition
from vcjax.errors import BadInput
from vcjax.settings import finite


def guidance_branches(
    conditions: Mapping[str, Condition], positive: Collection[str] | None, negative: Collection[str] | None
) -> tuple[frozenset[str], frozenset[str]]:
    """Return the names of the conditions of the positive and of the negative branch.

    Args:
        conditions: conditions of the call, by name.
        positive: names for the positive branch; all conditions if None.
        negative: names for the negative branch; if None, all conditions except text and style.

    Raises:
        BadInput: a name is not that of a condition of the call.
    """
    for names, branch in ((positive, "positive"), (negative, "negative")):
        if isinstance(names, str):
            raise BadInput(f"{branch} must be a list of names, such as [{names!r}], not {names!r}")
        for name in names or ():
            if name not in conditions:
                raise BadInput(
                    f"{branch} names condition {name!r}, but the call does not pass that condition"
                )
    tokens = {name for name, condition in conditions.items() if condition.kind == "tokens"}
    return (
        frozenset(conditions if positive is None else positive),
        frozenset(set(conditions) - tokens if negative is None else negative),
    )


def condition_strengths(names: Collection[str], strength: Mapping[str, float | int] | None) -> dict[str, Any]:
    """Return the strength of each condition of the call; the default is 1.

    Raises:
        BadInput: a strength is not finite, or its name is not that of a condition of the call.
    """
    for name, value in (strength or {}).items():
        if name not in names:
            raise BadInput(f"strength names condition {name!r}, but the call does not pass that condition")
        finite(f"strength of {name}", value)
    return dict.fromkeys(names, 1.0) | dict(strength or {})
