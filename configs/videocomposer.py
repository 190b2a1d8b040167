"""The released recipe at the released size: 132 k steps of text-to-video, then 268 k with all conditions.

    python -m vcjax.training --config=configs/videocomposer.py --config.parts=models/videocomposer

`parts` is the folder that `vcjax convert` made: autoencoder, text and image tower are held frozen. The clips are the
sprite world's at 256x256. 1.4 billion parameters with AdamW and an average take 23 GB before activations.

Not run: it wants accelerators. For scale, mindone (MindSpore) needs 0.95 s a step on eight Ascend 910B, a clip each.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites
from vcjax.weights.convert.released import CONDITIONS


def get_config() -> ConfigDict:
    """Figures of VideoComposer (arXiv 2306.02018), section 4.1, and of its released configuration."""
    config: Any = sprites.get_config()
    config.out = "runs/videocomposer"
    config.ema = 0.9999
    config.weighting, config.timesteps = "plain", "uniform"
    config.rematerialised = ("residual", "spatial", "temporal")
    config.save_every = 1000
    config.parts = "models/videocomposer"
    config.optimizer = ConfigDict({"name": "adamw", "learning_rate": 5e-5, "warmup": 1000, "clip": 1.0})
    with config.unlocked():
        config.model = {
            "name": "videocomposer",
            "networks": {"vision": {}},
            "conditions": CONDITIONS,
            "schedule": {},
            "prediction": "epsilon",
            "clip": {"frames": 16, "height": 256, "width": 256, "fps": 4.0},
            "defaults": {"steps": 50, "guidance": 9.0},
        }
    first, second = config.stages
    first.steps, first.batch, first.images_every, first.images = 132_000, 8, 4, 128
    second.steps, second.batch = 268_000, 8
    with second.unlocked():
        second.images_every, second.images = 4, 128
        second.optimizer = {}
        second.dropout = {"all_dropped": 0.1, "all_kept": 0.1, "text": "zeros", "style": "zeros"}
    return config
