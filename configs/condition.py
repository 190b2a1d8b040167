"""Purpose: the encoder of a condition of one's own, on a trained model (docs/custom_condition.md).

Command:

    vcjax extend tiny --condition examples.canny:Canny --out models/canny
    vcjax prepare sprites:256,16,0 --model models/canny --out data/canny
    vcjax train --config=condition:models/canny --config.data=data/canny

Only the new encoder is trained, beside captions, which are dropped in one of ten clips. To train all parameters:
`"--config.stages[0].trainable=()"`.

Time: 600 steps in 25 minutes on two CPU cores.
Result: docs/custom_condition.md.
"""

from typing import Any

from ml_collections import ConfigDict

from vcjax.composer.loading import load_model_config
from vcjax.errors import BadInput


def get_config(folder: str = "") -> ConfigDict:
    """Return the recipe for a model folder that `vcjax extend` has written."""
    if not folder:
        raise BadInput("config condition needs a model folder, such as --config=condition:models/canny")
    model = load_model_config(folder)
    own = tuple(name for name, settings in model["conditions"].items() if "class" in settings)
    if not own:
        raise BadInput(f"{folder} has no condition of one's own: vcjax extend adds one")
    stage: Any = {
        "name": "condition",
        "steps": 600,
        "batch_size": 8,
        "conditions": ("text", *own),
        "dropout": {"drop_all": 0.0, "keep_all": 0.0, "per_condition": {"text": 0.1}, "probability": 0.05},
        "trainable": tuple(f"stc/{name}/" for name in own),
        "optimizer": {"schedule": "cosine", "final_fraction": 0.02},
    }
    return ConfigDict(
        {
            "task": "diffusion",
            "model": model,
            "frozen_from": folder,
            "init_from": folder,
            "out": f"runs/{model['name']}",
            "ema_decay": 0.99,
            "log_every": 20,
            "save_every": 100,
            "optimizer": {"learning_rate": 2e-3, "warmup_steps": 20},
            "stages": (ConfigDict(stage),),
        }
    )
