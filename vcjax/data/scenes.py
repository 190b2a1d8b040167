"""Scenes of a video, the stretches between cuts: where clips can be taken from without a cut in them."""

import contextlib
import dataclasses
import os

import numpy as np
from jaxtyping import Float

from vcjax.errors import BadInput

# Pixels a side in which frames are compared: enough to tell pictures apart, too few to see grain.
THUMBNAIL = 32
# A cut changes the picture much, in levels of 255, and several times as much as its neighbours do, which a fast pan or
# a shaking camera does not. The figures are those of PySceneDetect's adaptive detector.
LEAST_CHANGE = 15.0
TIMES_NEIGHBOURS = 3.0
NEIGHBOURS = 2  # frames on either side
LONGEST = 2.0  # seconds that a frame may be shown: where a broken clock jumps, a scene ends


@dataclasses.dataclass(frozen=True)
class Scenes:
    """What a file shows, seen from its first frame to its last.

    Attributes:
        stretches: begin and end of each scene in seconds, in their order; nothing in them is damaged.
        frames: number of frames that could be decoded.
        damage: what is wrong with the file; empty where nothing is.
    """

    stretches: list[tuple[float, float]]
    frames: int
    damage: str

    @property
    def still(self) -> bool:
        """Whether it is a picture: a single frame, and nothing missing."""
        return self.frames == 1 and not self.damage


def find_scenes(path: str | os.PathLike[str], *, cuts: bool = True) -> Scenes:
    """Look at every frame of a video or picture.

    ```python
    find_scenes("film.mp4").stretches    # [(0.0, 7.32), (7.32, 9.8)]
    ```

    Args:
        path: the file.
        cuts: whether a cut ends a scene; only damage does without.

    Raises:
        BadInput: it cannot be read, or no frame of it.
    """
    from vcjax.video.sources import UNKNOWN_RATE, open_source

    times, ends, changes, broken, before = [], [], [], [], None
    with contextlib.closing(open_source(path)) as source:
        for moment in source.moments(0.0):
            small = source.thumbnail(moment.frame, THUMBNAIL).astype(np.int16)
            changes.append(0.0 if before is None else float(np.abs(small - before).mean()))
            broken.append(len(source.damage))
            times.append(moment.time)
            ends.append(moment.time + min(moment.seconds or 1 / UNKNOWN_RATE, LONGEST))
            before = small
        damage = source.damage[0] if source.damage else ""
    if not times:
        reason = f" ({damage})" if damage else ""
        raise BadInput(f"{path} holds no frame that can be decoded{reason}; give a whole video or picture")
    gaps = np.diff(times, prepend=times[0]) > LONGEST
    # A frame before which a packet was lost begins anew, as one behind a cut does.
    new = gaps | (np.diff(broken, prepend=0) > 0)
    if cuts:
        new |= cut_before(np.array(changes))
    firsts = [0, *(i for i in range(1, len(times)) if new[i])]
    lasts = [*(i - 1 for i in firsts[1:]), len(times) - 1]
    stretches = [(times[first], ends[last]) for first, last in zip(firsts, lasts, strict=True)]
    return Scenes(stretches, len(times), damage)


def cut_before(changes: Float[np.ndarray, "F"]) -> np.ndarray:
    """Which frames come behind a cut.

    Args:
        changes: mean absolute change of each frame's pixels from the frame before, in levels; 0 for the first.
    """
    padded = np.pad(changes, NEIGHBOURS)
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * NEIGHBOURS + 1)
    neighbours = (windows.sum(-1) - changes) / (2 * NEIGHBOURS)
    return (changes >= LEAST_CHANGE) & (changes >= TIMES_NEIGHBOURS * neighbours)
