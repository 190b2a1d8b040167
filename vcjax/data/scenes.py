"""Detection of scene cuts, so that clips do not contain any."""

import contextlib
import dataclasses
import os

import numpy as np
from jaxtyping import Float

from vcjax.errors import BadInput

THUMBNAIL = 32  # side of the compared thumbnails in pixels; film grain averages out
# A cut is a change of at least MIN_CHANGE (in levels of 255) and of MIN_RATIO times the mean change of the
# neighbouring frames, which excludes fast pans and shaking cameras. The values are those of PySceneDetect's
# adaptive detector.
MIN_CHANGE = 15.0
MIN_RATIO = 3.0
NEIGHBOURS = 2  # frames on either side
MAX_FRAME_SECONDS = 2.0  # a longer gap between timestamps ends a scene


@dataclasses.dataclass(frozen=True)
class Scenes:
    """Scenes of a video or image file.

    Attributes:
        intervals: start and end of each undamaged scene in seconds, in order.
        frames: number of frames that could be decoded.
        damage: description of the first error in the file; empty where there is none.
    """

    intervals: list[tuple[float, float]]
    frames: int
    damage: str

    @property
    def is_image(self) -> bool:
        """Whether the file is an image: a single frame without damage."""
        return self.frames == 1 and not self.damage


def find_scenes(path: str | os.PathLike[str], *, cuts: bool = True) -> Scenes:
    """Find the scenes of a video or image by decoding every frame.

    ```python
    find_scenes("film.mp4").intervals    # [(0.0, 7.32), (7.32, 9.8)]
    ```

    Args:
        path: path of the file.
        cuts: whether a cut ends a scene; if not, only damage and gaps do.

    Raises:
        BadInput: the file, or every frame of it, cannot be read.
    """
    from vcjax.video.sources import UNKNOWN_RATE, open_source

    times, ends, changes, errors, previous = [], [], [], [], None
    with contextlib.closing(open_source(path)) as source:
        for timed in source.timed_frames(0.0):
            thumbnail = source.thumbnail(timed.frame, THUMBNAIL).astype(np.int16)
            changes.append(0.0 if previous is None else float(np.abs(thumbnail - previous).mean()))
            errors.append(len(source.damage))
            times.append(timed.time)
            ends.append(timed.time + min(timed.seconds or 1 / UNKNOWN_RATE, MAX_FRAME_SECONDS))
            previous = thumbnail
        damage = source.damage[0] if source.damage else ""
    if not times:
        reason = f" ({damage})" if damage else ""
        raise BadInput(f"{path} has no frame that can be decoded{reason}; give a complete video or image")
    gaps = np.diff(times, prepend=times[0]) > MAX_FRAME_SECONDS
    # A frame after a lost packet begins a scene, as one after a cut does.
    new = gaps | (np.diff(errors, prepend=0) > 0)
    if cuts:
        new |= detect_cuts(np.array(changes))
    firsts = [0, *(i for i in range(1, len(times)) if new[i])]
    lasts = [*(i - 1 for i in firsts[1:]), len(times) - 1]
    intervals = [(times[first], ends[last]) for first, last in zip(firsts, lasts, strict=True)]
    return Scenes(intervals, len(times), damage)


def detect_cuts(changes: Float[np.ndarray, "F"]) -> np.ndarray:
    """Return which frames follow a cut.

    Args:
        changes: mean absolute difference of each frame from the previous one, in levels of 255; 0 for the
            first.
    """
    padded = np.pad(changes, NEIGHBOURS)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    neighbours = (windows.sum(-1) - changes) / (2 * NEIGHBOURS)
    return (changes >= MIN_CHANGE) & (changes >= MIN_RATIO * neighbours)
