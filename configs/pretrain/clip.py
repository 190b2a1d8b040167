"""The CLIP pair of `tiny`: the text tower that text is made with, and the image tower that style is made with.

python -m vcjax.training --config=configs/pretrain/clip.py

A quarter of an hour on one core, after which the caption's is the most likely of 64 pictures in 49 % (chance: 1.6 %), the other
way round in 54 %; with a minute and a half of an H100 more, as in the package, in 58 and 61 %. Captions say nothing of many
differences between clips, and where something moves cannot be seen in a picture. That the text tower tells such words apart
nonetheless is newer than the weights in the package (docs/tiny.md).
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
            "start": "",
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
            "stages": (ConfigDict({"name": "clip", "steps": 800, "batch": 64, "frames": 3, "train": ()}),),
        }
    )
