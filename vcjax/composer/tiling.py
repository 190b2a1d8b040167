"""Windows of a request: how clips that are longer or larger than those of training are divided."""

import dataclasses

from vcjax.conditions.base import ClipShape
from vcjax.diffusion.windows import Tiling, WindowWeights
from vcjax.errors import BadInput
from vcjax.settings import finite


@dataclasses.dataclass(frozen=True, kw_only=True)
class WindowSettings:
    """Windows in which a video is denoised, see `vcjax.diffusion.windows`.

    Attributes:
        frames: frames of a window. Default: those of the model's training clips.
        size: height and width of a window in pixels. Default: those of the video, so that there is one in space.
        overlap: share of a window that the next one contains too, from 0 to below 1.
        weights: weights of a window's predictions: `pyramid` falls linearly to its borders, `flat` is constant.
        offsets: number of placements of the windows, which alternate from step to step.
        noise: `repeat` starts all windows from the same noise, shuffled in time (FreeNoise, arXiv 2310.15169);
            `independent` from noise that differs in every frame.
    """

    frames: int | None = None
    size: tuple[int, ...] | None = None
    overlap: float = 0.5
    weights: WindowWeights = "pyramid"
    offsets: int = 2
    noise: str = "repeat"


NOISES = ("repeat", "independent")


def complete_windows(settings: WindowSettings, shape: ClipShape, trained: ClipShape) -> WindowSettings:
    """Validate the windows of a clip and complete them with their defaults.

    Args:
        settings: windows as requested.
        shape: shape of the clip.
        trained: shape of the model's training clips.

    Raises:
        BadInput: windows are larger than the clip or have no overlap that is left, or a setting is out of range.
    """
    if settings.noise not in NOISES:
        raise BadInput(f"noise of windows must be {' or '.join(NOISES)}, not {settings.noise!r}")
    if not 0 <= finite("overlap of windows", settings.overlap) < 1:
        raise BadInput(f"overlap of windows must be from 0 to below 1, not {settings.overlap:g}")
    if settings.offsets < 1:
        raise BadInput(f"offsets of windows must be at least 1, not {settings.offsets}")
    frames = min(trained.frames, shape.frames) if settings.frames is None else settings.frames
    if not 1 <= frames <= shape.frames:
        raise BadInput(f"windows must have from 1 to the clip's {shape.frames} frames, not {frames}")
    if frames < shape.frames and round(frames * (1 - settings.overlap)) < 1:
        raise BadInput(
            f"windows of {frames} frames are shorter than an overlap of {settings.overlap:g} allows: give a smaller overlap"
        )
    size = settings.size or (shape.height, shape.width)
    if len(size) != 2 or size[0] > shape.height or size[1] > shape.width:
        raise BadInput(
            f"windows must have a height and a width of at most {shape.height}x{shape.width}, not "
            f"{'x'.join(map(str, size))}"
        )
    return dataclasses.replace(settings, frames=frames, size=tuple(size))


def tiling_of(
    settings: WindowSettings, loop: bool, length: tuple[int, int, int], size: tuple[int, int, int]
) -> Tiling:
    """Return the tiling of latents by complete settings.

    Args:
        settings: result of `complete_windows`.
        loop: whether the first frame follows the last one.
        length: frames, rows and columns of the latents.
        size: frames, rows and columns of the latents of a window.
    """
    offsets = settings.offsets if length != size or loop else 1
    return Tiling(length, size, settings.overlap, settings.weights, offsets, loop)
