"""A condition of one's own: edges of every frame by Canny's detector (doi 10.1109/TPAMI.1986.4767851).

docs/custom_condition.md uses it from `vcjax extend` to `vcjax evaluate`.
"""

import dataclasses
from typing import ClassVar

import numpy as np
from scipy import ndimage

from vcjax.conditions.base import Kind, Measure
from vcjax.conditions.media import BLACK, brightness, describe_source, load_array, load_frames
from vcjax.conditions.preview import to_rgb
from vcjax.conditions.storage import ImageFileCondition
from vcjax.errors import BadInput
from vcjax.evaluation.maps import f_score
from vcjax.settings import finite


def line_f_score(found, given):
    """Return the F-score of edges with a tolerance of one pixel, the mean over the frames."""
    return float(f_score(found[..., 0] > 0.5, given[..., 0] > 0.5).mean())


@dataclasses.dataclass(frozen=True, kw_only=True)
class Canny(ImageFileCondition):
    """Edges of every frame: 1 on an edge, else 0."""

    name: ClassVar[str] = "canny"
    kind: ClassVar[Kind] = "temporal"  # a map for each frame; "spatial" is one map for a clip
    channels: ClassVar[int] = 1
    limits: ClassVar[tuple[float, float]] = (0.0, 1.0)
    bits: ClassVar[float] = 1.0  # largest size of a stored image, in bits per pixel
    summary: ClassVar[str] = "edges of every frame"
    accepts: ClassVar[str] = "white edges on black as a video, an image, or an array (.npy) in [0, 1]"
    extract_options: ClassVar[dict[str, str]] = {
        "low": "gradient that continues an edge, in [0, 1]; 0.1 without it",
        "high": "gradient that begins an edge; 0.2 without it",
    }
    stored_as: ClassVar[str] = "8-bit image files"
    measures: ClassVar[tuple[Measure, ...]] = (Measure("F-score of edges", True, line_f_score),)

    def read(self, source, shape, networks):
        """Read finished edges, resized and cropped."""
        array = load_array(source)
        if array is not None:
            return self.validate(array, shape, describe_source(source))
        return brightness(load_frames(source, shape, self.count(shape), BLACK), self.size(shape))

    def extract(self, clip, shape, networks, seed, *, low=0.1, high=0.2):
        """Detect the edges of frames at the size of the map."""
        if not 0 < finite("canny.low", low) <= finite("canny.high", high):
            raise BadInput(f"canny needs 0 < low <= high, not {low} and {high}")
        frames = brightness(clip.frames, self.size(shape))[..., 0]
        return np.stack([edges(frame, low, high) for frame in frames])[..., None]

    def preview(self, array, shape):
        """Return the edges at the size of the clip."""
        return to_rgb(array, shape)


def edges(image, low, high):
    """Return the edges of an image `[H, W]` in [0, 1]: blur, gradient, thinning, hysteresis."""
    blurred = ndimage.gaussian_filter(image, 1.0)
    dx, dy = (ndimage.sobel(blurred, axis) / 4 for axis in (1, 0))
    gradient = np.hypot(dx, dy)
    y, x = np.indices(image.shape)
    step = np.stack([dy, dx]) / np.maximum(gradient, 1e-6)
    ahead, behind = (
        ndimage.map_coordinates(gradient, (y + s * step[0], x + s * step[1]), order=1) for s in (1, -1)
    )
    ridge = (gradient >= ahead) & (gradient > behind)
    weak, strong = ridge & (gradient >= low), ridge & (gradient >= high)
    return ndimage.binary_propagation(strong, np.ones((3, 3)), weak).astype(np.float32)
