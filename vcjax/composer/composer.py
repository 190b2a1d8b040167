"""`Composer`: the pipeline from a request to videos, as returned by `vcjax.load`.

A request is completed, its conditions are read and encoded, latents are sampled, and decoded to frames.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, UInt8

from vcjax.composer.completion import complete_request, request_shape
from vcjax.composer.encoding import encode_conditions
from vcjax.composer.memory import warn_of_many_windows, within_memory
from vcjax.composer.model import LoadedModel
from vcjax.composer.reading import ConditionReader, read_conditions
from vcjax.composer.request import Request, request_from_arguments
from vcjax.composer.sampling import Estimate, decode_latents, phases_of, sample_latents
from vcjax.composer.shown import shown_latents
from vcjax.composer.tiling import tiling_of
from vcjax.conditions.base import ClipShape
from vcjax.conditions.preview import NO_TEXTS, as_sentence, previews
from vcjax.errors import BadInput
from vcjax.progress import ProgressCallback, no_progress
from vcjax.settings import check_seed
from vcjax.video.clip import Clip


@dataclasses.dataclass(frozen=True)
class StepPreview:
    """Videos as estimated in the middle of sampling, in small.

    Attributes:
        completed: steps that are done.
        total: steps in all.
        frames: frames of each video, one pixel for each latent.
    """

    completed: int
    total: int
    frames: UInt8[np.ndarray, "B F h w 3"]


StepCallback = Callable[[StepPreview], Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Composer(LoadedModel):
    """Pipeline that samples videos from any subset of a model's conditions.

    ```python
    composer = vcjax.load("tiny")
    video = vcjax.extract("walk.mp4")
    clip = composer(text="a red circle moving left", image="first.png", motion=video, seed=7)
    clip.save("out.mp4")
    ```
    """

    def __call__(
        self,
        *,
        progress: ProgressCallback = no_progress,
        on_step: StepCallback | None = None,
        **arguments: Any,
    ) -> Clip:
        """Sample a video.

        Args:
            progress: called with a phase, such as "loading weights" or "sampling", and its completed and
                total steps.
            on_step: see `generate`.
            **arguments: conditions and settings, see `vcjax.composer.request.request_from_arguments`.

        Returns:
            The video of the first seed.

        Raises:
            BadInput: a condition is unknown or cannot be read, a number is out of range, or the mesh does not
                divide the batch, the frames or the pixels.
        """
        return self.generate(self.request(**arguments), progress, on_step)[0]

    def request(self, **arguments: Any) -> Request:
        """Return a request of this model; see `vcjax.composer.request.request_from_arguments`."""
        return request_from_arguments(self.name, **arguments)

    def generate(
        self, request: Request, progress: ProgressCallback = no_progress, on_step: StepCallback | None = None
    ) -> list[Clip]:
        """Sample the videos of a request, one per seed, in one batch.

        Conditions that are drawn at random, such as masks, depend on the first seed.

        ```python
        def on_step(preview):
            show(preview.frames[0])                 # [F, h, w, 3], one pixel for each latent
            return preview.completed >= 10          # enough: the clip is decoded from the estimate at hand

        clip = composer(text="a red circle moving left", on_step=on_step)
        ```

        Args:
            request: what to sample.
            progress: see `__call__`.
            on_step: called every few steps with a `StepPreview` of the videos as estimated so far; if it returns True, sampling
                stops and the estimate is decoded.

        Raises:
            BadInput: see `__call__`, or `on_step` is given and the model has no map from latents to colours.
        """
        if on_step is not None and self.latent_colours is None:
            raise BadInput(
                f"on_step needs latent_colours in the config.json of model {self.name}, which "
                "vcjax.composer.latent_colours.fit_latent_colours computes"
            )
        request = complete_request(request, self)
        composer = self._adapted(request.adapters, progress) if request.adapters else self
        with within_memory(request_shape(request, self)):
            return composer._sample(request, progress, on_step)

    def _adapted(self, adapters: Mapping[str, float], progress: ProgressCallback) -> "Composer":
        """Return the model with adapters; the last ones are kept, as long as their files stay as they are."""
        key = [(file, strength, Path(file).stat().st_mtime_ns) for file, strength in adapters.items()]
        if self._with_adapters.get("key") != key:
            progress("merging adapters", 0, 0)
            self._with_adapters.clear()
            self._with_adapters.update(composer=self.with_adapters(adapters), key=key)
        return self._with_adapters["composer"]

    @cached_property
    def _with_adapters(self) -> dict[str, Any]:
        return {}

    def _sample(
        self, request: Request, progress: ProgressCallback, on_step: StepCallback | None
    ) -> list[Clip]:
        """Sample the videos of a complete request."""
        phases = phases_of(self, request)
        progress("reading conditions", 0, 0)
        reader = self.reader(request)
        reader.check_times()
        warn_of_many_windows(reader.tiling, reader.shape, request.steps or 0)
        known = shown_latents(self, reader) if request.composite else None
        progress("encoding conditions", 0, 0)
        encoded = encode_conditions(self, request, reader, [phase.active for phase in phases])
        preview = on_step and partial(self._step_preview, on_step)
        z = sample_latents(self, request, phases, encoded, reader.tiling, progress, preview, known)
        del encoded
        progress("decoding", 0, 0)
        fps = request_shape(request, self).fps
        return [Clip(self._decode(latents, request, reader), fps, audio=request.audio) for latents in z]

    def reader(self, request: Request) -> ConditionReader:
        """Return the conditions of a complete request, of each of its windows."""
        windows, shape = request.windows, request_shape(request, self)
        assert windows.frames is not None
        assert windows.size is not None
        window_shape = self.clip_shape(windows.frames, (windows.size[0], windows.size[1]))
        length = (shape.frames, *self.latent_shape(shape)[:2])
        size = (windows.frames, *self.latent_shape(window_shape)[:2])
        inputs = {name: given.input for name, given in request.conditions.items()}
        tiling = tiling_of(windows, request.loop, length, size)
        return ConditionReader(self, inputs, shape, request.seeds[0], tiling)

    def _decode(
        self, z: Float[Array, "N h w c"], request: Request, reader: ConditionReader
    ) -> UInt8[np.ndarray, "N H W 3"]:
        """Return the frames of a clip, with the pixels that conditions show where the request composites them."""
        tiling, factor = reader.tiling, self.networks.autoencoder.downsampling
        video = np.empty((len(z), factor * z.shape[1], factor * z.shape[2], 3), np.uint8)
        for first, frames in decode_latents(self, z, tiling.size[0]):
            if request.composite:
                start = min(first, tiling.length[0] - tiling.size[0])
                for pixels, visible in reader.shown(start, frames.shape[1:3]):
                    new = slice(first - start, None)
                    frames = np.where(visible[new, ..., None], pixels[new], frames)
            video[first : first + len(frames)] = frames
        return video

    def _step_preview(self, on_step: StepCallback, estimate: Estimate) -> bool:
        assert self.latent_colours is not None
        frames = self.latent_colours.frames(np.asarray(estimate.latents))
        return bool(on_step(StepPreview(estimate.completed, estimate.total, frames)))

    def read(self, conditions: Mapping[str, Any], shape: ClipShape, seed: int = 0) -> dict[str, np.ndarray]:
        """Return the arrays of conditions: finished ones are read, others extracted from their source video.

        Each source video is decoded once, even if several conditions are extracted from it.

        Args:
            conditions: conditions by name, as in `__call__`.
            shape: shape of the clip.
            seed: seed of randomly drawn conditions.

        Raises:
            BadInput: a condition is unknown, or cannot be read or extracted.
        """
        check_seed(seed)
        return read_conditions(self, conditions, shape, seed)

    def preview(
        self, arrays: Mapping[str, np.ndarray], shape: ClipShape, texts: Mapping[str, str] = NO_TEXTS
    ) -> dict[str, UInt8[np.ndarray, "F H W 3"]]:
        """Return images that visualise the arrays of `read`, by condition; see `vcjax.conditions.preview.previews`."""
        return previews(self.conditions, arrays, shape, texts)

    def condition_images(self, request: Request) -> dict[str, UInt8[np.ndarray, "_ H W 3"]]:
        """Return images of what the model takes from a request: one for each frame of a condition, or one for the clip.

        Raises:
            BadInput: see `__call__`.
        """
        request = complete_request(request, self)
        shape = request_shape(request, self)
        values = {name: given.input for name, given in request.conditions.items()}
        texts = {name: as_sentence(x) for name, x in values.items() if "value" in self.conditions[name].words}
        first = {name: self.conditions[name].at(x, 0) if name in texts else x for name, x in values.items()}
        return self.preview(self.read(first, shape, request.seeds[0]), shape, texts)
