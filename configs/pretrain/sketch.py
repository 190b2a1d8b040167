"""The sketch network of `tiny`, which lines are extracted from footage with.

python -m vcjax.training --config=configs/pretrain/sketch.py

Four minutes on one core. On 64 pictures not seen, lines above 0.3 have an F-score of 0.96 within one pixel.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table


def get_config() -> ConfigDict:
    """The first frame of each clip of the sprite world, as pictures."""
    return ConfigDict(
        {
            "task": "sketch",
            "model": model_table("tiny"),
            "out": "runs/sketch",
            "start": "",
            "ema": 0.998,
            "log_every": 50,
            "save_every": 250,
            "sample_every": 500,
            **DEVICES,
            "optimizer": {
                "learning_rate": 2e-3,
                "warmup": 50,
                "decay": "cosine",
                "final": 0.02,
                "weight_decay": 1e-3,
            },
            "stages": (ConfigDict({"name": "sketch", "steps": 400, "batch": 16, "frames": 1}),),
        }
    )
