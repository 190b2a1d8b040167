"""VideoComposer in JAX and Flax: video synthesis by composition.

```python
import vcjax

composer = vcjax.load("tiny")
clip = composer(text="a red circle moving left", motion=vcjax.extract("walk.mp4"), seed=7)
clip.save("out.mp4")
```
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vcjax.composer.composer import Composer
    from vcjax.composer.loading import load
    from vcjax.composer.request import Request
    from vcjax.composer.strength import Strength
    from vcjax.composer.tiling import WindowSettings
    from vcjax.conditions.base import ClipShape, SourceVideo, extract
    from vcjax.conditions.keyframes import keyframes
    from vcjax.conditions.strokes import strokes
    from vcjax.errors import BadInput, VcjaxWarning
    from vcjax.parallel.mesh import MeshShape
    from vcjax.video.clip import Clip
    from vcjax.video.read import read
    from vcjax.video.stream_motion import StreamMotion, stream_motion

__version__ = "0.1.0"

_MODULES = {
    "BadInput": "vcjax.errors",
    "Clip": "vcjax.video.clip",
    "ClipShape": "vcjax.conditions.base",
    "Composer": "vcjax.composer.composer",
    "MeshShape": "vcjax.parallel.mesh",
    "Request": "vcjax.composer.request",
    "SourceVideo": "vcjax.conditions.base",
    "StreamMotion": "vcjax.video.stream_motion",
    "Strength": "vcjax.composer.strength",
    "VcjaxWarning": "vcjax.errors",
    "WindowSettings": "vcjax.composer.tiling",
    "extract": "vcjax.conditions.base",
    "keyframes": "vcjax.conditions.keyframes",
    "load": "vcjax.composer.loading",
    "read": "vcjax.video.read",
    "stream_motion": "vcjax.video.stream_motion",
    "strokes": "vcjax.conditions.strokes",
}
__all__ = [
    "BadInput",
    "Clip",
    "ClipShape",
    "Composer",
    "MeshShape",
    "Request",
    "SourceVideo",
    "StreamMotion",
    "Strength",
    "VcjaxWarning",
    "WindowSettings",
    "extract",
    "keyframes",
    "load",
    "read",
    "stream_motion",
    "strokes",
]


def __dir__() -> list[str]:
    return [*globals(), *__all__]


def __getattr__(name: str):
    """Import a public name at its first use, so that `import vcjax` does not import JAX."""
    if name not in _MODULES:
        raise AttributeError(f"module 'vcjax' has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULES[name]), name)
