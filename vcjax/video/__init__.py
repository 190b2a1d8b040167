"""Video clips: reading, resizing, writing, and extraction of codec motion vectors.

Only `Clip` is imported here, which needs NumPy only. The other modules need PyAV or Pillow:
`vcjax.video.read`, `vcjax.video.resize`, `vcjax.video.write`, `vcjax.video.motion`.
"""

from vcjax.video.clip import Clip

__all__ = ["Clip"]
