"""Purpose: the CLIP pair of `tiny`: text tower for the text condition, image tower for the style condition.

Command:

    vcjax train --config=pretrain/clip

Time: a quarter of an hour on one CPU core.
Result: top-1 retrieval among 64: image from caption 49 % (chance: 1.6 %), caption from image 54 %; after 90
more seconds on an H100, as in the package, 58 and 61 %. Many clips have the same caption, and an image does
not show directions of motion. The loss term that makes the text tower distinguish those words is newer than
the weights of the package (docs/tiny.md).
"""

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config() -> ConfigDict:
    """Return the recipe: captions against the middle of three frames."""
    return ConfigDict(
        {
            "task": "clip",
            "model": load_model_config("tiny"),
            "out": "runs/clip",
            "ema_decay": 0.998,
            "save_every": 250,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1e-3,
                "warmup_steps": 100,
                "schedule": "cosine",
                "final_fraction": 0.02,
                "weight_decay": 0.05,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
            },
            "stages": (ConfigDict({"name": "clip", "steps": 800, "batch_size": 64, "frames": 3}),),
        }
    )
