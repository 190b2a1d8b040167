"""Both stages in a few minutes on a laptop: to see that everything works, not to get a model.

    python -m vcjax.training --config=configs/smoke.py
    vcjax export runs/smoke --out models/smoke
    vcjax generate --model models/smoke --text "a red circle moving left" --out outputs/smoke.mp4

About three minutes on two cores, most of them compilation; the loss falls from 0.96 to below a third of that.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import sprites


def get_config() -> ConfigDict:
    """The sprites' recipe with a smaller UNet, four frames, few steps, and the released model's prediction, which falls fast."""
    config: Any = sprites.get_config()
    config.out, config.dtype = "runs/smoke", "float32"
    config.log_every, config.save_every, config.ema = 10, 50, 0.98
    config.model.clip.frames = 4
    config.model.networks.unet.update(width=32, head_size=16, groups=8)
    config.weighting, config.timesteps = "plain", "uniform"
    config.model.prediction, config.model.schedule.zero_terminal_snr = "epsilon", False
    config.optimizer.learning_rate, config.optimizer.warmup = 2e-3, 10
    first, second = config.stages
    first.steps, first.batch, first.images_every, first.images = 60, 8, 10, 32
    second.steps, second.batch = 100, 8
    return config
