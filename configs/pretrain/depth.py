"""Purpose: the depth network of `tiny`, which extracts the depth condition from source videos.

Command:

    vcjax train --config=pretrain/depth

Time: fifteen minutes on one CPU core.
Result: IoU of the foreground 0.90 on 24 held-out images. The slant of the background cannot be learned:
images of this world do not show it.
"""

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config() -> ConfigDict:
    """Return the recipe: first and last frame of each clip of the sprite world, as images."""
    return ConfigDict(
        {
            "task": "depth",
            "model": load_model_config("tiny"),
            "out": "runs/depth",
            "ema_decay": 0.998,
            "save_every": 250,
            "sample_every": 500,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 3e-4,
                "warmup_steps": 100,
                "schedule": "cosine",
                "final_fraction": 0.02,
                "weight_decay": 1e-3,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
            },
            "stages": (ConfigDict({"name": "depth", "steps": 1500, "batch_size": 16, "frames": 2}),),
        }
    )
