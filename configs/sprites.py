"""The built-in model `tiny`, from nothing, on the sprite world: text-to-video first, then all conditions.

    python -m vcjax.training --config=configs/sprites.py

It needs the autoencoder and the CLIP pair of `configs/pretrain`, which the package holds already. So many steps, 484,000 clips,
took an H100 seven minutes (docs/tiny.md). Two CPU cores make three clips a second: there, take fewer steps of fewer clips
(`--config.stages[1].batch=8`), `--config.dtype=float32`, and `--config.fixed_clips=8192`, which encodes latents once.
`--config.start=tiny` goes on from the weights in the package.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table

STAGES = {"text-to-video": 2264, "composition": 5301}  # steps
BATCH = 64  # clips a step


def get_config() -> ConfigDict:
    """Two stages; most of what the second sees has at most two conditions beside its text, as those who use it often give."""
    text_to_video = {
        "name": "text-to-video",
        "steps": STAGES["text-to-video"],
        "batch": BATCH,
        "images_every": 0,
        "images": 0,
        "image_scenes": "all",
        "image_lowest_t": 0,
        "image_conditions": (),
        "conditions": ("text",),
        "dropout": {"all_dropped": 0.1, "all_kept": 0.9},
        "train": ("unet/",),
    }
    composition = {
        "name": "composition",
        "steps": STAGES["composition"],
        "batch": BATCH,
        "images_every": 0,
        "images": 0,
        "image_scenes": "all",
        "image_lowest_t": 0,
        "image_conditions": (),
        "dropout": {"all_dropped": 0.03, "few": 0.6, "all_kept": 0.05, "each": {"text": 0.2}, "others": 0.55},
        "optimizer": {"decay": "cosine", "final": 0.02},
    }
    return ConfigDict(
        {
            "task": "diffusion",
            "model": model_table("tiny"),
            "parts": "tiny",
            "out": "runs/sprites",
            "programs": "",
            "data": "",
            "workers": 0,
            "start": "",
            "first_stage": 0,
            "seed": 0,
            "ema": 0.999,
            "weighting": "clean",
            "timesteps": "by_weight",
            "dtype": "bfloat16",
            "rematerialised": (),
            "log_every": 50,
            "save_every": 250,
            "keep": 2,
            "sample_every": 0,
            "fixed_clips": 0,
            **DEVICES,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 1.2e-3,
                "warmup": 200,
                "decay": "constant",
                "weight_decay": 0.01,
                "clip": 1.0,
            },
            "stages": (ConfigDict(text_to_video), ConfigDict(composition)),
        }
    )
