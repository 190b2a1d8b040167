"""The built-in model `tiny`, from nothing, on the sprite world: text-to-video first, then all conditions.

    python -m vcjax.training --config=configs/sprites.py

It needs the autoencoder and the CLIP pair of `configs/pretrain`, which the package holds already.

So many steps take 85 minutes on one core of an AMD EPYC, at 4.5 clips a second in stage two; two cores as two devices take
less (docs/parallel.md). `--config.start=tiny` goes on from the weights in the package, whose way and scores are in docs/tiny.md.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table

STAGES = {"text-to-video": 600, "composition": 2200}  # steps
BATCH = 64  # clips a step
CLIPS = 0  # whose latents are encoded once, into a quarter of a GB


def get_config() -> ConfigDict:
    """Two stages; half of what the second sees has at most two conditions beside its text, as those who use it often give."""
    text_to_video = {
        "name": "text-to-video",
        "steps": STAGES["text-to-video"],
        "batch": BATCH,
        "images_every": 0,
        "images": 0,
        "conditions": ("text",),
        "dropout": {"all_dropped": 0.1, "all_kept": 0.9},
        "train": ("unet/",),
    }
    composition = {
        "name": "composition",
        "steps": STAGES["composition"],
        "batch": BATCH,
        "dropout": {"all_dropped": 0.03, "few": 0.6, "all_kept": 0.05, "each": {"text": 0.2}, "others": 0.55},
        "optimizer": {"decay": "cosine", "final": 0.02},
    }
    MODEL = model_table("tiny")
    MODEL["networks"]["unet"] = {**MODEL["networks"]["unet"], "width": 72, "multipliers": (1, 1), "attention_levels": (0, 1), "head_size": 24, "groups": 12}
    MODEL["networks"]["stc"] = {**MODEL["networks"]["stc"], "features": 24}
    return ConfigDict(
        {
            "task": "diffusion",
            "model": MODEL,
            "parts": "tiny",
            "out": "runs/sprites",
            "programs": "",
            "data": "",
            "workers": 0,
            "start": "",
            "stills_of_sequences": False,
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
            "fixed_clips": CLIPS,
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
