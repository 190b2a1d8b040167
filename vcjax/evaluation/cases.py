"""Evaluation cases of the sprite world: which conditions videos are generated from, and how they are scored.

A case combines one or more condition sources (see `vcjax.evaluation.condition_sources`), each taken from a
variant of the test clip. All of its conditions are in guidance's positive set and the negative set is empty.
"""

import dataclasses
import itertools

from vcjax.errors import BadInput
from vcjax.evaluation.condition_sources import CONDITIONS, ORIGINAL, REDIRECTED, REPAINTED, STROKED

SPATIAL, TEMPORAL = ("image", "single_sketch"), ("motion", "depth", "sketch")
MAPS = ("image", "single_sketch", "motion", "depth", "mask", "sketch")
GUIDANCE_SCALES = (1.0, 2.0, 4.0, 8.0)  # of the group `curves`
TEXT_WEIGHT, MAP_WEIGHT = (
    8.0,
    2.0,
)  # of the group `chains`: the best guidance weights of text and of maps alone
UNCONDITIONAL = "unconditional"


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalCase:
    """A set of conditions to generate videos from, and what the videos are scored for.

    Attributes:
        name: name of the case, unique in `CASES`.
        group: group of the case, one of `GROUPS`.
        sources: (condition source, variant) pairs: the conditions, and the variant of the clip each is taken
            from.
        target: variant of the clip that the video should match.
        scored: conditions (or `trajectory`) whose metrics are computed; empty for a case that is only a
            baseline.
        baseline: name of the case with the same conditions except the scored ones.
        guidance: guidance weight, or a weight for each branch but the first; None for the protocol's.
        branches: conditions of each branch of a chain of guidance; if empty, two branches, none of the conditions and
            all of them.
        single: for a pair, the name of the case of each condition by itself, as (condition, case) pairs.
    """

    name: str
    group: str
    sources: tuple[tuple[str, str], ...]
    target: str = ORIGINAL
    scored: tuple[str, ...]
    baseline: str = UNCONDITIONAL
    guidance: float | tuple[float, ...] | None = None
    branches: tuple[tuple[str, ...], ...] = ()
    single: tuple[tuple[str, str], ...] = ()


def _original(*names: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, ORIGINAL) for name in names)


def _all_cases() -> tuple[EvalCase, ...]:
    unconditional = EvalCase(name=UNCONDITIONAL, group="single", sources=(), scored=())
    single = [
        EvalCase(name=name, group="single", sources=_original(name), scored=(name,))
        for name in ("text", "style", *MAPS)
    ]
    pairs = [_pair(*names) for names in itertools.combinations(MAPS, 2)]
    curves = [
        EvalCase(
            name=f"{name}, guidance {scale:g}",
            group="curves",
            sources=_original(name),
            scored=(name,),
            guidance=scale,
        )
        for name in ("text", "style", *MAPS)
        for scale in GUIDANCE_SCALES
    ]
    return (unconditional, *single, *_tasks(), *pairs, *curves, *_chains())


def _tasks() -> list[EvalCase]:
    """Return the tasks of the paper: text with each map, motion transfer, strokes and video translation."""
    tasks = [
        EvalCase(
            name=f"text + {name}", group="tasks", sources=_original("text", name),
            scored=(name,), baseline="text",
        )
        for name in ("image", "single_sketch", "depth", "mask", "sketch")
    ]  # fmt: skip
    tasks += [
        EvalCase(
            name="text + motion", group="tasks", sources=_original("text", "motion"),
            scored=("motion", "trajectory"), baseline="text",
        ),
        EvalCase(
            name="motion transfer", group="tasks", sources=(("image", ORIGINAL), ("motion", REDIRECTED)),
            target=REDIRECTED, scored=("image", "motion", "trajectory"), baseline="image",
        ),
        EvalCase(
            name="strokes baseline", group="tasks", sources=(("image", STROKED),), target=STROKED, scored=(),
        ),
        EvalCase(
            name="strokes", group="tasks", sources=(("image", STROKED), ("strokes", STROKED)), target=STROKED,
            scored=("image", "strokes", "trajectory"), baseline="strokes baseline",
        ),
        EvalCase(
            name="translation", group="tasks",
            sources=(("text", REPAINTED), ("style", REPAINTED), ("motion", ORIGINAL), ("depth", ORIGINAL)),
            target=REPAINTED, scored=("text", "style", "motion", "trajectory", "depth"),
        ),
    ]  # fmt: skip
    return tasks


def _chains() -> list[EvalCase]:
    """Return text with each map, guided by one weight for both, and by a chain with a weight for each."""
    cases = []
    for name in MAPS:
        text = TEXT_WEIGHT, MAP_WEIGHT
        for label, weights, branches in (
            (f"guidance {MAP_WEIGHT:g}", MAP_WEIGHT, ()),
            (f"guidance {TEXT_WEIGHT:g}", TEXT_WEIGHT, ()),
            (f"text {TEXT_WEIGHT:g}, then {name} {MAP_WEIGHT:g}", text, ((), ("text",), ("text", name))),
            (f"{name} {MAP_WEIGHT:g}, then text {TEXT_WEIGHT:g}", text[::-1], ((), (name,), ("text", name))),
        ):
            cases.append(
                EvalCase(
                    name=f"text + {name}, {label}",
                    group="chains",
                    sources=_original("text", name),
                    scored=("text", name),
                    guidance=weights,
                    branches=branches,
                )
            )
    return cases


def _pair(a: str, b: str) -> EvalCase:
    """Return the case of two maps; a spatial and a temporal one are taken from different variants.

    The spatial map fixes the first frame only, so a temporal map of the redirected variant does not
    contradict it.
    """
    counterfactual = a in SPATIAL and b in TEMPORAL
    variant = REDIRECTED if counterfactual else ORIGINAL
    return EvalCase(
        name=f"{a} + {b}",
        group="pairs",
        sources=((a, ORIGINAL), (b, variant)),
        target=variant,
        scored=(a, b),
        single=((a, a), (b, b)),
    )


CASES: dict[str, EvalCase] = {case.name: case for case in _all_cases()}
GROUPS = tuple(dict.fromkeys(case.group for case in CASES.values()))


def select_cases(groups: tuple[str, ...], conditions: tuple[str, ...]) -> list[EvalCase]:
    """Return the cases of these groups that a model supports, with the cases they are compared with.

    Args:
        groups: names from `GROUPS`.
        conditions: names of the model's conditions.

    Returns:
        Cases in the order of `CASES`.

    Raises:
        BadInput: a group does not exist, or the model supports no case of these groups.
    """
    for group in groups:
        if group not in GROUPS:
            raise BadInput(f"there is no group of cases {group!r}: choose from {', '.join(GROUPS)}")
    supported = {
        name: case
        for name, case in CASES.items()
        if all(CONDITIONS.get(source, source) in conditions for source, _ in case.sources)
    }
    selected = [case for case in supported.values() if case.group in groups and case.scored]
    if not selected:
        raise BadInput(
            f"a model with the conditions {', '.join(conditions)} has no case in {', '.join(groups)}"
        )
    compared = {name for case in selected for name in (case.baseline, *(other for _, other in case.single))}
    return [case for case in supported.values() if case in selected or case.name in compared]
