"""Reading of conditions: finished ones from files and arrays, others extracted from source videos, for parts of a clip."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Int

from vcjax.composer.model import LoadedModel
from vcjax.composer.strength import Strength
from vcjax.conditions.base import ClipShape, Condition, SourceVideo
from vcjax.conditions.media import Part, sample_source
from vcjax.diffusion.windows import Tiling
from vcjax.errors import BadInput, about
from vcjax.video.clip import Clip


def read_conditions(
    model: LoadedModel,
    conditions: Mapping[str, Any],
    shape: ClipShape,
    seed: int,
    part: Part | None = None,
) -> dict[str, np.ndarray]:
    """Return the arrays of conditions; each source video is decoded once, even if several are extracted from it.

    Args:
        model: model that has the conditions.
        conditions: finished conditions and source videos, by name.
        shape: shape of the whole clip.
        seed: seed of randomly drawn conditions.
        part: frames to extract from; all of the clip's if None. Finished conditions are always read whole.

    Raises:
        BadInput: a condition is unknown, or cannot be read or extracted.
    """
    clips: dict[Any, Clip] = {}
    arrays = {}
    for name, value in conditions.items():
        with about(f"conditions.{name}"):
            arrays[name] = _read_one(model, model.condition(name), value, shape, seed, part, clips)
    return arrays


def _read_one(
    model: LoadedModel,
    condition: Condition,
    value: Any,
    shape: ClipShape,
    seed: int,
    part: Part | None,
    clips: dict[Any, Clip],
) -> np.ndarray:
    """Return the array of a condition; the clips of source videos are added to `clips`."""
    if not isinstance(value, SourceVideo):
        return condition.read(value, shape, model.functions)
    condition.check_source(value, model.functions)
    key = id(value.source) if isinstance(value.source, Clip) else str(value.source)
    if key not in clips:
        clips[key] = sample_source(value, shape, part)
    extracted = shape if part is None else dataclasses.replace(shape, frames=part.count)
    found = condition.extract(clips[key], extracted, model.functions, seed, **value.extract_options)
    return condition.checked(found, extracted)


class ConditionReader:
    """Conditions of the windows of a clip.

    A window is a clip of its own: what is extracted from a source video is extracted from the frames of the window, which
    are read when they are needed, so that a film of any length takes the memory of one window. Finished conditions are
    read once and cut. Spatial conditions belong to the window at the beginning of the clip.

    Args:
        model: model that has the conditions.
        conditions: finished conditions and source videos, by name.
        shape: shape of the whole clip.
        seed: seed of randomly drawn conditions.
        tiling: windows of the latents.
    """

    def __init__(
        self, model: LoadedModel, conditions: Mapping[str, Any], shape: ClipShape, seed: int, tiling: Tiling
    ) -> None:
        self.model, self.shape, self.seed, self.tiling = model, shape, seed, tiling
        tokens = {name for name in conditions if model.condition(name).kind == "tokens"}
        self.tokens: dict[str, Any] = {name: conditions[name] for name in conditions if name in tokens}
        self._streamed: dict[str, Any] = {}
        self._areas: dict[str, np.ndarray | None] = {}
        rest = {name: value for name, value in conditions.items() if name not in tokens}
        if tiling.length[0] > tiling.size[0] and not tiling.loop:
            self._streamed = {
                name: value
                for name, value in rest.items()
                if isinstance(value, SourceVideo) and model.condition(name).streams(value.extract_options)
            }
        kept = {name: value for name, value in rest.items() if name not in self._streamed}
        self._whole: dict[str, np.ndarray] = read_conditions(model, kept, shape, seed)

    def frames(self, first: int) -> Int[np.ndarray, "f"]:
        """Return the frames of the window from frame `first` on."""
        return (first + np.arange(self.tiling.size[0])) % self.tiling.length[0]

    def window_maps(self, first: int) -> dict[str, np.ndarray]:
        """Return the maps of the window from frame `first` on, by condition."""
        names = (*self._whole, *self._streamed)
        return self._maps(
            first, [n for n in names if first == 0 or self.model.condition(n).kind == "temporal"]
        )

    def shown(self, first: int, size: tuple[int, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield what each condition shows of the window from frame `first` on, see `Condition.shown`."""
        names = [n for n in (*self._whole, *self._streamed) if self.model.condition(n).composites]
        for name, array in self._maps(first, names).items():
            yield self.model.condition(name).shown(array, size)

    def _maps(self, first: int, names: Collection[str]) -> dict[str, np.ndarray]:
        frames, maps = self.frames(first), {}
        for name in self._whole.keys() & set(names):
            condition, array = self.model.condition(name), self._whole[name]
            maps[name] = array if condition.kind == "spatial" else condition.window(array, frames)
        maps |= self._read({name: self._streamed[name] for name in names if name in self._streamed}, first)
        return {name: maps[name] for name in names}

    def token_values(self, first: int) -> dict[str, Any]:
        """Return the text and other token conditions that hold in the middle of the window from frame `first` on.

        Raises:
            BadInput: see `Condition.at`.
        """
        middle = int(self.frames(first)[self.tiling.size[0] // 2])
        return {name: self.model.condition(name).at(value, middle) for name, value in self.tokens.items()}

    def token_arrays(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Return the arrays of a result of `token_values`; from a source video they are taken in its middle."""
        return self._read(values, max(0, (self.tiling.length[0] - self.tiling.size[0]) // 2))

    def _read(self, conditions: Mapping[str, Any], first: int) -> dict[str, np.ndarray]:
        """Return the arrays of conditions of a window."""
        part = Part(first, self.tiling.size[0])
        return read_conditions(self.model, conditions, self.shape, self.seed, part)

    def area(self, name: str, strength: Strength) -> np.ndarray | None:
        """Return the weights in space of a condition's strength, which are read once."""
        if name not in self._areas:
            self._areas[name] = strength.read_area(self.shape)
        return self._areas[name]

    def check_times(self) -> None:
        """Raise BadInput where a condition changes with time at a frame that no window has in its middle."""
        for name, value in self.tokens.items():
            condition = self.model.condition(name)
            used = {hashable(self.token_values(first))[name] for first in self.tiling.clips()}
            for frame in condition.changes(value):
                if hashable({name: condition.at(value, frame)})[name] not in used:
                    raise BadInput(
                        f"{name} from frame {frame} on is never used: the {self.shape.frames} frames have windows of "
                        f"{self.tiling.size[0]}, each with the {name} of its middle"
                    )


def hashable(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values by which two results of `token_values` can be compared."""
    return {name: value if isinstance(value, str) else id(value) for name, value in values.items()}
