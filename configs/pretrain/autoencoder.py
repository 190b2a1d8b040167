"""The autoencoder of `tiny`, in whose latents its diffusion runs. It comes first: everything else holds it frozen.

python -m vcjax.training --config=configs/pretrain/autoencoder.py

Twenty minutes on two cores with nothing else to do. The package holds what came of it and of two runs more (31.7 dB on pictures
not seen, 28.4 dB on objects; docs/tiny.md); `vcjax export runs/autoencoder --out vcjax/builtin/tiny` puts it there. Set `scale`
in the model's configuration to one over the deviation of its latents afterwards.
"""

from ml_collections import ConfigDict

from configs import DEVICES
from vcjax.loading import model_table


def get_config() -> ConfigDict:
    """First and last frame of each clip of the sprite world, as images."""
    return ConfigDict(
        {
            "task": "autoencoder",
            "model": model_table("tiny"),
            "out": "runs/autoencoder",
            "start": "",
            "seed": 0,
            "ema": 0.999,
            "dtype": "float32",
            "log_every": 100,
            "save_every": 500,
            "sample_every": 1000,
            **DEVICES,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 2e-3,
                "warmup": 100,
                "decay": "cosine",
                "final": 0.02,
                "weight_decay": 1e-4,
                "clip": 1.0,
            },
            "stages": (ConfigDict({"name": "autoencoder", "steps": 3000, "batch": 16, "frames": 2}),),
        }
    )
