"""Frame rates and frame durations."""

from fractions import Fraction

from vcjax.errors import BadInput


def frame_period(fps: float | int) -> Fraction:
    """Return the duration of a frame in seconds, as a fraction for the time base of a codec: 4 gives 1/4.

    Args:
        fps: frame rate in frames per second.

    Raises:
        BadInput: the rate is not above 0, or too high for the time base of codecs.
    """
    highest = 65_535  # MPEG-4 Part 2 counts time in 16 bits (ISO/IEC 14496-2, vop_time_increment_resolution)
    if not 0 < fps <= highest:
        raise BadInput(f"the frame rate of a clip must be above 0 and at most {highest}, not {fps}")
    return Fraction(1 / fps).limit_denominator(highest)


def sampling_rate(seconds: float | int, count: int, fps: float | int) -> float:
    """Return the sampling rate of a clip: `fps`, or higher if the clip is too short for `count` frames.

    This is the rule of the released model, for 16 frames at 4 fps: if duration * 4 <= 16, the rate is
    int(16 / duration) + 1.

    ```python
    sampling_rate(10.0, count=16, fps=4)    # 4
    sampling_rate(2.9, count=16, fps=4)     # 6
    ```

    Args:
        seconds: duration of the clip in seconds.
        count: number of frames needed.
        fps: target rate in frames per second.

    Returns:
        The rate in frames per second.

    Raises:
        BadInput: the duration is not above 0.
    """
    if not seconds > 0:
        raise BadInput(f"the duration of a clip must be above 0 seconds, not {seconds}")
    return float(int(count / seconds) + 1) if seconds * fps <= count else float(fps)
