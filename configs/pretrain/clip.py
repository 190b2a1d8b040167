"""The CLIP pair of `tiny`: the text tower that text is made with, and the image tower that style is made with.

python -m vcjax.training --config=configs/pretrain/clip.py

It has not been run yet; the package holds random towers.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table


def get_config() -> ConfigDict:
    """Captions against the middle frame of three."""
    return ConfigDict(
        {
            "task": "clip",
            "model": model_table("tiny"),
            "out": "runs/clip",
            "ema": 0.998,
            "log_every": 50,
            "save_every": 250,
            **DEVICES,
            "optimizer": {
                "learning_rate": 1e-3,
                "warmup": 100,
                "decay": "cosine",
                "final": 0.02,
                "weight_decay": 0.05,
            },
            "stages": (ConfigDict({"name": "clip", "steps": 800, "batch": 64, "frames": 3}),),
        }
    )
