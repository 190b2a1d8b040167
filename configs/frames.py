"""Words of directions for a trained model, by two cores: from single frames of simple scenes, clips of everything beside them.

    python -m vcjax.training --config=configs/pretrain/clip.py --config.start=tiny --config.out=runs/words \
      --config.stages[0].steps=900 --config.stages[0].train="('text/','pair/')" \
      --config.optimizer.learning_rate=3e-4 --config.optimizer.warmup=30
    vcjax export runs/words --out models/words
    python -m vcjax.training --config=configs/frames.py --config.start=models/words --config.parts=models/words

Those of `tiny` are not of it: directions came, but other conditions lost more than they gained (docs/tiny.md, "What was tried").
The run told there began its second stage beside single frames of all scenes; as it stands this file was not run to its end.
A clip of 16 frames tells a network as much of its words as one frame does, and costs as much as 16 frames of other clips, each
of which is told its number. Only the spatial blocks are trained: convolutions and temporal layers keep what they know.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites

SPATIAL = ("down_0_0", "down_1_0", "middle", "up_0_0", "up_0_1", "up_1_0", "up_1_1")


def get_config() -> ConfigDict:
    """The composition stage of the sprites' recipe, with single frames by turns, behind a stage of these alone."""
    config: Any = sprites.get_config()
    config.out, config.start, config.dtype = "runs/frames", "tiny", "float32"
    config.fixed_clips, config.ema = 8192, 0.995
    config.optimizer.update(learning_rate=1e-3, warmup=50)
    _, composition = config.stages
    composition.update(name="composition", steps=3700, batch=4, images_every=2, images=64)
    composition.update(image_scenes="simple", image_lowest_t=900, image_conditions=("text", "image"))
    composition.train = tuple(f"unet/{block}_spatial/" for block in SPATIAL)
    directions = composition.copy_and_resolve_references()
    directions.update(name="directions", steps=450, images_every=1)
    directions.dropout.update(all_kept=0.0, few=0.0, each={"text": 0.1, "image": 0.2})
    directions.optimizer.decay = "constant"
    config.stages = (directions, composition)
    return config
