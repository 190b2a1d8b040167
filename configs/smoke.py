"""Purpose: both stages in a few minutes on a laptop, to see that everything works.

Command:

    vcjax train --config=smoke
    vcjax export runs/smoke --out models/smoke
    vcjax generate --model models/smoke --text "a red circle moving left" --out outputs/smoke.mp4

Time: three minutes on two CPU cores, most of them compilation.
Result: the loss falls from 0.96 to below 0.32. The videos are not good.
"""

from typing import Any

from ml_collections import ConfigDict

from vcjax.configs import sprites


def get_config() -> ConfigDict:
    """Return the recipe of `sprites` with a smaller UNet, four frames, few steps, and epsilon prediction."""
    config: Any = sprites.get_config()
    config.out, config.compute_dtype = "runs/smoke", "float32"
    config.log_every, config.save_every, config.ema_decay = 10, 50, 0.98
    config.model.clip.frames = 4
    config.model.networks.unet.update(base_channels=32, head_dim=16, norm_groups=8)
    config.loss_weighting, config.timestep_sampling = "constant", "uniform"
    config.model.prediction, config.model.schedule.zero_terminal_snr = "epsilon", False
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 2e-3, 10
    first, second = config.stages
    first.update(steps=60, batch_size=8, images_every=10, image_batch_size=32)
    second.update(steps=100, batch_size=8)
    return config
