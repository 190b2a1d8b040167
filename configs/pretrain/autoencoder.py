"""Purpose: the autoencoder of `tiny`. Train it first: the other networks use it frozen.

Command:

    vcjax train --config=pretrain/autoencoder
    vcjax export runs/autoencoder --out models/mine

Time: twenty minutes on two CPU cores.
Result: with two further runs (docs/tiny.md), 31.7 dB on held-out images and 28.4 dB on their objects. Set
`scaling_factor` of the model to 1 / (standard deviation of its latents) afterwards.
"""

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config() -> ConfigDict:
    """Return the recipe: first and last frame of each clip of the sprite world, as images."""
    return ConfigDict(
        {
            "task": "autoencoder",
            "model": load_model_config("tiny"),
            "out": "runs/autoencoder",
            "ema_decay": 0.999,
            "log_every": 100,
            "save_every": 500,
            "sample_every": 1000,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "warmup_steps": 100,
                "schedule": "cosine",
                "final_fraction": 0.02,
                "weight_decay": 1e-4,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
            },
            "stages": (ConfigDict({"name": "autoencoder", "steps": 3000, "batch_size": 16, "frames": 2}),),
        }
    )
