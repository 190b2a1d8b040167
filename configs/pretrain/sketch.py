"""Purpose: the sketch network of `tiny`, which extracts the sketch conditions from source videos.

Command:

    vcjax train --config=pretrain/sketch

Time: four minutes on one CPU core.
Result: F-score 0.96 within one pixel, of lines above 0.3, on 64 held-out images.
"""

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config() -> ConfigDict:
    """Return the recipe: the first frame of each clip of the sprite world, as images."""
    return ConfigDict(
        {
            "task": "sketch",
            "model": load_model_config("tiny"),
            "out": "runs/sketch",
            "ema_decay": 0.998,
            "save_every": 250,
            "sample_every": 500,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "warmup_steps": 50,
                "schedule": "cosine",
                "final_fraction": 0.02,
                "weight_decay": 1e-3,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
            },
            "stages": (ConfigDict({"name": "sketch", "steps": 400, "batch_size": 16, "frames": 1}),),
        }
    )
