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
    from vcjax.composer import Composer
    from vcjax.conditions.base import ClipShape, Footage, extract
    from vcjax.conditions.strokes import strokes
    from vcjax.errors import BadInput, VcjaxWarning
    from vcjax.loading import load
    from vcjax.parallel.mesh import MeshShape
    from vcjax.video.clip import Clip
    from vcjax.video.read import read
    from vcjax.video.write import write

__version__ = "0.1.0"

_HOME = {
    "BadInput": "vcjax.errors",
    "Clip": "vcjax.video.clip",
    "ClipShape": "vcjax.conditions.base",
    "Composer": "vcjax.composer",
    "Footage": "vcjax.conditions.base",
    "MeshShape": "vcjax.parallel.mesh",
    "VcjaxWarning": "vcjax.errors",
    "extract": "vcjax.conditions.base",
    "load": "vcjax.loading",
    "read": "vcjax.video.read",
    "strokes": "vcjax.conditions.strokes",
    "write": "vcjax.video.write",
}
__all__ = [
    "BadInput",
    "Clip",
    "ClipShape",
    "Composer",
    "Footage",
    "MeshShape",
    "VcjaxWarning",
    "extract",
    "load",
    "read",
    "strokes",
    "write",
]


def __getattr__(name: str):
    """Import a public name where it is first used, so that `import vcjax` costs nothing and needs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'vcjax' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
