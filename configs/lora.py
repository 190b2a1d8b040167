"""Purpose: adapters (LoRA, arXiv 2106.09685) of a trained model, on one card and few clips (docs/finetuning.md).

Command:

    vcjax prepare videos --model tiny --out data/look
    vcjax train --config=lora --config.data=data/look
    vcjax train --config=lora:models/videocomposer --config.data=data/look --config.compute_dtype=bfloat16

The argument is the model: the built-in one or a model folder. Its weights are frozen, in the compute type; only the adapters
have an optimiser. `vcjax export runs/lora --out look.safetensors` writes them, and `vcjax generate --adapter look.safetensors`
uses them. Layers are chosen by patterns of their names: `"--config.adapters.layers=('*/self/*', '*/conv_?')"`.

Time: 200 steps of 8 clips in 5 minutes on two CPU cores.
Result: docs/finetuning.md.
"""

from typing import Any

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config


def get_config(model: str = "tiny") -> ConfigDict:
    """Return the recipe; conditions are dropped as in the composition stage."""
    stage: Any = {
        "name": "adapters",
        "steps": 200,
        "batch_size": 8,
        "dropout": {"drop_all": 0.1, "sparse": 0.5, "keep_all": 0.1, "per_condition": {"text": 0.1}},
        "optimizer": {"schedule": "cosine", "final_fraction": 0.1},
    }
    return ConfigDict(
        {
            "task": "adapters",
            "model": load_model_config(model),
            "frozen_from": model,
            "out": "runs/lora",
            "adapters": {
                "rank": 8,
                "alpha": 8.0,
                "dropout": 0.0,
                "layers": ("*/self/*", "*/cross/*", "*/geglu/*", "*/layer/out"),
            },
            "ema_decay": 0.99,
            "log_every": 10,
            "save_every": 50,
            "optimizer": {"learning_rate": 2e-3, "warmup_steps": 10},
            "stages": (ConfigDict(stage),),
        }
    )
