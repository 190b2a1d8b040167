"""Purpose: train words for directions into a model on two CPU cores, from single frames of simple scenes
besides clips.

Command:

    vcjax train --config=pretrain/clip --config.init_from=tiny --config.out=runs/words \
      "--config.stages[0].steps=900" "--config.stages[0].trainable=('text/','text_projection/')" \
      --config.optimizer.learning_rate=3e-4 --config.optimizer.warmup_steps=30
    vcjax export runs/words --out models/words
    vcjax train --config=frames --config.init_from=models/words --config.frozen_from=models/words

A single frame has the same caption as a clip of 16 frames, at a sixteenth of the cost. Only the spatial
transformers are trained; convolutions and temporal layers stay fixed.

Time: an hour on two CPU cores.
Result: directions were learned, but the fidelity of other conditions decreased (docs/tiny.md, "What was
tried"), so the weights of `tiny` are not these. The run in docs/tiny.md began stage two with single frames of
all scenes; this file itself has not been run to its end.
"""

from typing import Any

from ml_collections import ConfigDict

from vcjax.configs import sprites

BLOCKS = ("down_0_0", "down_1_0", "middle", "up_0_0", "up_0_1", "up_1_0", "up_1_1")


def get_config() -> ConfigDict:
    """Return a stage of single frames, then composition alternating with single frames."""
    config: Any = sprites.get_config()
    config.out, config.compute_dtype, config.ema_decay = "runs/frames", "float32", 0.995
    config.init_from = "tiny"
    config.sprites = {"fixed_clips": 8192, "image_scenes": "simple"}
    config.optimizer.update(learning_rate=1e-3, warmup_steps=50)
    _, composition = config.stages
    composition.update(steps=3700, batch_size=4, images_every=2, image_batch_size=64)
    composition.image_min_timestep, composition.image_conditions = 900, ("text", "image")
    composition.trainable = tuple(f"unet/{block}_spatial/" for block in BLOCKS)
    directions = composition.copy_and_resolve_references()
    directions.update(name="directions", steps=450, images_every=1)
    directions.dropout = {
        "drop_all": 0.03,
        "keep_all": 0.0,
        "per_condition": {"text": 0.1, "image": 0.2},
        "probability": 0.55,
    }
    directions.optimizer.schedule = "constant"
    config.stages = (directions, composition)
    return config
