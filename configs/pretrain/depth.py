"""The depth network of `tiny`, which depth is extracted from footage with.

python -m vcjax.training --config=configs/pretrain/depth.py

Fifteen minutes on one core. What is seen as near on 24 pictures not seen overlaps what is near by 0.90. How the background
slants it cannot know, since nothing in a picture of this world tells.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table


def get_config() -> ConfigDict:
    """First and last frame of each clip of the sprite world, as pictures."""
    return ConfigDict(
        {
            "task": "depth",
            "model": model_table("tiny"),
            "out": "runs/depth",
            "start": "",
            "ema": 0.998,
            "log_every": 50,
            "save_every": 250,
            "sample_every": 500,
            **DEVICES,
            "optimizer": {
                "learning_rate": 3e-4,
                "warmup": 100,
                "decay": "cosine",
                "final": 0.02,
                "weight_decay": 1e-3,
            },
            "stages": (ConfigDict({"name": "depth", "steps": 1500, "batch": 16, "frames": 2}),),
        }
    )
