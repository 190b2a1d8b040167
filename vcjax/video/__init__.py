"""Clips on disk: reading, resizing, writing, and the codec's motion vectors.

Only `Clip` is imported here, which needs numpy alone. The rest lies in the modules of its name and needs PyAV or
Pillow: `vcjax.video.read`, `vcjax.video.resize`, `vcjax.video.write`, `vcjax.video.motion`.
"""

from vcjax.video.clip import Clip

__all__ = ["Clip"]
