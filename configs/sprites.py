"""Purpose: the built-in model `tiny`, trained from scratch on the sprite world: text-to-video, then
composition.

Command:

    vcjax train --config=sprites

The autoencoder and the CLIP towers of the package are frozen (`pretrain/` trains them). On a machine with two
CPU cores, use smaller batches of a fixed set of clips, whose latents are encoded once:

    vcjax train --config=sprites --config.compute_dtype=float32 --config.sprites.fixed_clips=8192 \
      "--config.stages[0].batch_size=8" "--config.stages[1].batch_size=8"

`--config.init_from=tiny` starts from the weights of the package.

Time: 484,000 clips in 7 minutes on an H100 (1156 clips/s, bfloat16); 3 clips/s on two CPU cores.
Result: loss 0.201 after stage one, 0.098 after stage two; docs/tiny.md has the evaluation.
"""

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config() -> ConfigDict:
    """Return the recipe; in stage two most samples have at most two conditions beside their text."""
    text_to_video = {
        "name": "text-to-video",
        "steps": 2264,
        "batch_size": 64,
        "conditions": ("text",),
        "dropout": {"drop_all": 0.1, "keep_all": 0.9},
        "trainable": ("unet/",),
    }
    composition = {
        "name": "composition",
        "steps": 5301,
        "batch_size": 64,
        "dropout": {
            "drop_all": 0.03,
            "sparse": 0.6,
            "keep_all": 0.05,
            "per_condition": {"text": 0.2},
            "probability": 0.55,
        },
        "optimizer": {"schedule": "cosine", "final_fraction": 0.02},
    }
    return ConfigDict(
        {
            "task": "diffusion",
            "model": load_model_config("tiny"),
            "frozen_from": "tiny",
            "out": "runs/sprites",
            "seed": 0,
            "ema_decay": 0.999,
            "loss_weighting": "x0",
            "timestep_sampling": "importance",
            "compute_dtype": "bfloat16",
            "log_every": 50,
            "save_every": 250,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1.2e-3,
                "warmup_steps": 200,
                "weight_decay": 0.01,
                "max_grad_norm": 1.0,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8},
            },
            "stages": (ConfigDict(text_to_video), ConfigDict(composition)),
        }
    )
