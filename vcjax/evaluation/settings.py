"""The settings of the scoreboard: which conditions a video is made from, whose they are, and what it is scored for.

A setting is made of one or more givers (see `vcjax.evaluation.cases`), each taken from a variant of the clip. Guidance
leads toward all of them and away from none, unless the setting says otherwise.
"""

import dataclasses
import itertools

from vcjax.errors import BadInput
from vcjax.evaluation.cases import CONDITIONS, OWN, REPAINTED, STROKED, TURNED

STILLS, MOVING = ("image", "single_sketch"), ("motion", "depth", "sketch")
MAPS = ("image", "single_sketch", "motion", "depth", "mask", "sketch")
STRENGTHS = (1.0, 2.0, 4.0, 8.0)  # of guidance, in the curves
NOTHING = "nothing"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setting:
    """One way to ask for videos.

    Attributes:
        name: of the setting.
        group: see `GROUPS`.
        given: givers, and the variant that each is taken from.
        wanted: the variant that the video should be.
        scored: conditions (and `path`) whose measures are taken; without any it is made to be compared with.
        none: the setting that is the same without what is scored.
        guidance: its weight, if not the model's own.
        alone: in a pair, the setting of each condition by itself.
    """

    name: str
    group: str
    given: tuple[tuple[str, str], ...]
    wanted: str = OWN
    scored: tuple[str, ...]
    none: str = NOTHING
    guidance: float | None = None
    alone: tuple[tuple[str, str], ...] = ()


def _own(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, OWN) for name in names)


def _settings() -> tuple[Setting, ...]:
    nothing = Setting(name=NOTHING, group="alone", given=(), scored=())
    alone = [
        Setting(name=name, group="alone", given=_own(name), scored=(name,))
        for name in ("text", "style", *MAPS)
    ]
    tasks = [
        Setting(name=f"text + {name}", group="tasks", given=_own("text", name), scored=(name,), none="text")
        for name in ("image", "single_sketch", "depth", "mask", "sketch")
    ]
    tasks += [
        Setting(
            name="text + motion", group="tasks", given=_own("text", "motion"), scored=("motion", "path"), none="text"
        ),
        Setting(
            name="motion transfer", group="tasks", given=(("image", OWN), ("motion", TURNED)), wanted=TURNED,
            scored=("image", "motion", "path"), none="image",
        ),
        Setting(
            name="image of strokes", group="tasks", given=(("image", STROKED),), wanted=STROKED, scored=(),
        ),
        Setting(
            name="strokes", group="tasks", given=(("image", STROKED), ("strokes", STROKED)), wanted=STROKED,
            scored=("image", "strokes", "path"), none="image of strokes",
        ),
        Setting(
            name="translation", group="tasks",
            given=(("text", REPAINTED), ("style", REPAINTED), ("motion", OWN), ("depth", OWN)),
            wanted=REPAINTED, scored=("text", "style", "motion", "path", "depth"), none=NOTHING,
        ),
    ]  # fmt: skip
    pairs = [_pair(*names) for names in itertools.combinations(MAPS, 2)]
    curves = [
        Setting(
            name=f"{name}, guidance {strength:g}", group="curves", given=_own(name), scored=(name,), guidance=strength
        )
        for name in ("text", "style", *MAPS)
        for strength in STRENGTHS
    ]  # fmt: skip
    return (nothing, *alone, *tasks, *pairs, *curves)


def _pair(a: str, b: str) -> Setting:
    """Two maps: from different clips where one shows how it begins and the other only how it moves."""
    apart = a in STILLS and b in MOVING
    given = ((a, OWN), (b, TURNED if apart else OWN))
    alone = ((a, a), (b, b))
    return Setting(
        name=f"{a} + {b}",
        group="pairs",
        given=given,
        wanted=TURNED if apart else OWN,
        scored=(a, b),
        alone=alone,
    )


SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _settings()}
GROUPS = tuple(dict.fromkeys(setting.group for setting in SETTINGS.values()))


def chosen(groups: tuple[str, ...], known: tuple[str, ...]) -> list[Setting]:
    """The settings of these groups that a model with these conditions can be asked for, each after what it is compared with.

    Raises:
        BadInput: there is no such group, or the model can be asked for none.
    """
    for group in groups:
        if group not in GROUPS:
            raise BadInput(f"there is no group {group!r} of settings: there are {', '.join(GROUPS)}")
    possible = {
        name: setting
        for name, setting in SETTINGS.items()
        if all(CONDITIONS.get(giver, giver) in known for giver, _ in setting.given)
    }
    wanted = [setting for setting in possible.values() if setting.group in groups and setting.scored]
    if not wanted:
        raise BadInput(
            f"a model with the conditions {', '.join(known)} has no setting in {', '.join(groups)}"
        )
    compared = {name for s in wanted for name in (s.none, *(other for _, other in s.alone))}
    return [s for s in possible.values() if s in wanted or s.name in compared]
