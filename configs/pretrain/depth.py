"""A depth network for `tiny`, which depth would be extracted from footage with.

python -m vcjax.training --config=configs/pretrain/depth.py

The package holds none: after 700 steps (five minutes on one core) the loss was 0.150, no better than a constant, since most of a
picture is background. What it needs is not known yet.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table

NETWORK = {
    "size": 64,
    "patch": 8,
    "width": 128,
    "layers": 4,
    "heads": 4,
    "necks": (24, 48, 96, 96),
    "fusion": 32,
}


def get_config() -> ConfigDict:
    """First and last frame of each clip of the sprite world, as pictures."""
    model: Any = model_table("tiny")
    model["networks"]["depth"] = NETWORK
    model["conditions"]["depth"] = {"unit": 1.0}  # the renderer's nearness, from 0 to 1
    return ConfigDict(
        {
            "task": "depth",
            "model": model,
            "out": "runs/depth",
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
