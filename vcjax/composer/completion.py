"""Completion of requests: validation against a model, and the model's defaults."""

import dataclasses
from collections.abc import Mapping

from vcjax.composer.memory import check_request_memory
from vcjax.composer.model import LoadedModel
from vcjax.composer.request import Names, Request, check_size
from vcjax.composer.strength import strength_of
from vcjax.composer.tiling import complete_windows
from vcjax.conditions.base import ClipShape, Condition
from vcjax.conditions.media import frames_at
from vcjax.diffusion.sampler import sampling_steps
from vcjax.diffusion.samplers import sampler_named
from vcjax.errors import BadInput, about
from vcjax.input_files import check_regular
from vcjax.settings import check_seed, finite, integer

SLOWEST, FASTEST = 0.01, 1000.0  # frames per second, which every container holds


def complete_request(request: Request, model: LoadedModel) -> Request:
    """Validate a request and complete it with a model's defaults.

    Branches that are equal are merged, since their difference is 0; the first is left out where the second has weight 1,
    which cancels it.

    Raises:
        BadInput: an unknown condition or name, or a number out of range.
    """
    conditions = {name: model.condition(name) for name in request.conditions}
    for seed in request.seeds:
        check_seed(seed)
    if not request.seeds:
        raise BadInput("seeds must hold at least one")
    request = _without_absent(request, conditions)
    # In the model's order, in which maps are summed, so that equal requests give equal bits.
    order = [name for name in model.conditions if name in request.conditions]
    request = dataclasses.replace(request, conditions={name: request.conditions[name] for name in order})
    conditions = {name: conditions[name] for name in order}
    branches, guidance = _completed_branches(request, conditions, model.defaults.guidance)
    first_text = request.negative_text
    if guidance and guidance[0] == 1.0:  # out(c_0) + 1 (out(c_1) - out(c_0)) + ... is without c_0
        branches, guidance, first_text = branches[1:], guidance[1:], ""
    _check_passes(request)
    shape = request_shape(request, model)
    windows = complete_windows(request.windows, shape, model.shape)
    with about("windows"):
        model.clip_shape(windows.frames, None if windows.size is None else check_size(windows.size))
    check_request_memory(model, shape, windows)
    if request.reuse_every > 1 and (request.loop or windows.frames != shape.frames):
        raise BadInput("reuse_every needs a clip of one window: its deep features are those of one")
    _check_composite(request, conditions)
    if request.audio is not None:
        from vcjax.video.audio import check_audio

        check_audio(request.audio)
    name = request.sampler or model.defaults.sampler
    sampler = sampler_named(name)
    spacing = request.spacing or sampler.spacing(model.schedule)
    steps = integer("steps", model.defaults.steps if request.steps is None else request.steps)
    sampling_steps(  # raises where steps, eta or spacing are out of range
        sampler, model.schedule, steps, prediction=model.prediction, eta=request.eta, spacing=spacing
    )
    return dataclasses.replace(
        request,
        positive=None,
        negative=None,
        branches=branches,
        negative_text=first_text,
        guidance=guidance,
        sampler=name,
        spacing=spacing,
        steps=steps,
        frames=shape.frames,
        size=(shape.height, shape.width),
        fps=None if shape.fps == model.shape.fps else shape.fps,
        windows=windows,
        adapters=_present_adapters(request.adapters or {}),
    )


def _present_adapters(adapters: Mapping[str, float]) -> Mapping[str, float] | None:
    """Return adapters without those of strength 0; None where none are left."""
    for file, strength in adapters.items():
        with about("adapters"):
            check_regular(file)
            finite(f"the strength of {file}", strength)
    return {file: strength for file, strength in adapters.items() if strength} or None


def request_shape(request: Request, model: LoadedModel) -> ClipShape:
    """Return the shape of a request's videos.

    Raises:
        BadInput: see `LoadedModel.clip_shape`.
    """
    fps = model.shape.fps if request.fps is None else finite("fps", request.fps)
    if not SLOWEST <= fps <= FASTEST:
        raise BadInput(f"fps must be from {SLOWEST:g} to {FASTEST:g}, not {fps:g}")
    frames = _all_frames(request, model, fps) if request.frames == "all" else request.frames
    shape = model.clip_shape(frames, None if request.size is None else check_size(request.size))
    return dataclasses.replace(shape, fps=fps)


def _all_frames(request: Request, model: LoadedModel, fps: float) -> int:
    """Return how many frames the first source video of a temporal condition has at a frame rate."""
    for name, given in request.conditions.items():
        if given.source is not None and model.condition(name).kind == "temporal":
            return frames_at(given.source, fps)
    raise BadInput("frames can be 'all' only where a temporal condition is extracted from a video")


def _without_absent(request: Request, conditions: Mapping[str, Condition]) -> Request:
    """Return a request without the conditions of strength 0; raises BadInput for strengths that a condition cannot have."""
    strengths = {name: strength_of(name, given.strength) for name, given in request.conditions.items()}
    for name, strength in strengths.items():
        if conditions[name].kind == "tokens" and not strength.constant:
            raise BadInput(
                f"strength of {name}: it acts on the whole clip and has no frames and no area; give a number, steps or both"
            )

    def present(names: Names | None) -> Names | None:
        if names is None:
            return None
        return tuple(name for name in names if name not in strengths or not strengths[name].absent)

    return dataclasses.replace(
        request,
        conditions={name: x for name, x in request.conditions.items() if not strengths[name].absent},
        positive=present(request.positive),
        negative=present(request.negative),
        branches=request.branches and tuple(present(names) or () for names in request.branches),
    )


def _check_composite(request: Request, conditions: Mapping[str, Condition]) -> None:
    if request.composite and not any(condition.composites for condition in conditions.values()):
        raise BadInput("composite needs a condition that shows a part of the video, such as mask")


def _completed_branches(
    request: Request, conditions: Mapping[str, Condition], default: float
) -> tuple[tuple[Names, ...], tuple[float, ...]]:
    """Return the branches of guidance and their weights."""
    if request.branches is None:
        maps = tuple(name for name, condition in conditions.items() if condition.kind != "tokens")
        negative = maps if request.negative is None else request.negative
        positive = tuple(conditions) if request.positive is None else request.positive
        branches, where = (negative, positive), ("negative", "positive")
    elif request.positive is None and request.negative is None:
        branches, where = request.branches, ("branches",) * len(request.branches)
    else:
        raise BadInput("branches exclude positive and negative: give the branches alone")
    if not branches:
        raise BadInput("branches must hold at least one set of conditions")
    for key, names in zip(where, branches, strict=True):
        for name in names:
            if name not in conditions:
                raise BadInput(f"{key} names condition {name!r}, but the request has no such condition")
    weights = (default,) * (len(branches) - 1) if request.guidance is None else request.guidance
    if len(weights) != len(branches) - 1:
        raise BadInput(
            f"guidance must have one weight fewer than branches, {len(branches) - 1}, not {len(weights)}"
        )
    for weight in weights:
        finite("guidance", weight)
    if request.negative_text and any(conditions[name].absent_is_null for name in branches[0]):
        raise BadInput(
            "negative_text needs a first branch without text: it takes the place of the text there"
        )
    merged: list[Names] = [branches[0]]
    merged_weights: list[float] = []
    for names, weight in zip(branches[1:], weights, strict=True):
        other_text = len(merged) == 1 and request.negative_text  # that of the first branch differs
        if set(names) != set(merged[-1]) or other_text:
            merged.append(names)
            merged_weights.append(weight)
    return tuple(merged), tuple(merged_weights)


def _check_passes(request: Request) -> None:
    """Raise BadInput for settings of guidance and reuse that are out of range."""
    interval = request.guidance_interval
    if interval is not None and not (len(interval) == 2 and 0 <= interval[0] < interval[1]):
        raise BadInput(
            "guidance_interval must be two noise levels sigma / alpha, the lower first, such as (0.3, 5), "
            f"not {', '.join(f'{level:g}' for level in interval)}"
        )
    if not 0 <= request.guidance_rescale <= 1:
        raise BadInput(f"guidance_rescale must be from 0 to 1, not {request.guidance_rescale:g}")
    for name in ("guidance_every", "reuse_every"):
        if getattr(request, name) < 1:
            raise BadInput(f"{name} must be at least 1, not {getattr(request, name)}")
    if 1 < request.guidance_every != request.reuse_every > 1:
        raise BadInput(
            f"guidance_every and reuse_every must be equal where both are above 1, not {request.guidance_every} and "
            f"{request.reuse_every}"
        )
