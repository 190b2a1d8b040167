"""Purpose: the released VideoComposer at its released size: text-to-video, then composition with all
conditions.

Command:

    vcjax prepare videos --out data/large --model models/videocomposer
    vcjax train --config=videocomposer --config.data=data/large

`models/videocomposer` is the folder that `vcjax convert` writes: its autoencoder and CLIP towers are frozen.
Without `--config.data` it trains on the sprite world at 256x256. Steps on single images need images in the
data set; set `images_every` and `image_batch_size` of both stages to 0 where there are none.

Time: not run; it needs accelerators (docs/plan.md has the compiled cost). 1.4 billion parameters with AdamW
and EMA take 23 GB before activations. For comparison, mindone (MindSpore) takes 0.95 s per step on eight
Ascend 910B, one clip each.
Result: not run. The paper reports FID 11.09, FVD 550 and CLIPSIM 0.293 on MSR-VTT for its text-to-video
stage.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """Return the recipe of the paper (arXiv 2306.02018, section 4.1) and of the released configuration."""
    return ConfigDict(
        {
            "task": "diffusion",
            "model": _model(),
            "frozen_from": "models/videocomposer",
            "init_from": "",
            "out": "runs/videocomposer",
            "data": "",
            "loader": {"workers": 8},
            "first_stage": 0,
            "seed": 0,
            "ema_decay": 0.9999,
            "loss_weighting": "constant",
            "timestep_sampling": "uniform",
            "compute_dtype": "bfloat16",
            "remat": ("residual", "spatial", "temporal"),
            "mesh": {"data": -1, "fsdp": 1, "frames": 1},
            "rules": (
                ("unet/.*(residual|spatial|temporal|sample)/.*kernel", ("fsdp",)),
                ("(text|vision)/.*kernel", ("fsdp",)),
            ),
            "log_every": 50,
            "save_every": 1000,
            "keep_checkpoints": 2,
            "sample_every": 0,
            "optimizer": {
                "name": "adamw",
                "learning_rate": 5e-5,
                "warmup_steps": 1000,
                "schedule": "constant",
                "final_fraction": 0.0,
                "weight_decay": 0.0,
                "max_grad_norm": 1.0,
                "options": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "mu_dtype": "float32"},
            },
            "stages": (
                ConfigDict(
                    {
                        "name": "text-to-video",
                        "steps": 132_000,
                        "batch_size": 8,
                        "images_every": 4,
                        "image_batch_size": 128,  # as many frames as 8 clips have
                        "conditions": ("text",),
                        "dropout": {"drop_all": 0.1, "keep_all": 0.9},
                        "trainable": ("unet/",),
                    }
                ),
                ConfigDict(
                    {
                        "name": "composition",
                        "steps": 268_000,
                        "batch_size": 8,
                        "images_every": 4,
                        "image_batch_size": 128,
                        "dropout": {
                            "drop_all": 0.1,
                            "keep_all": 0.1,
                            "probability": 0.5,
                            "text": "zeros",
                            "style": "zeros",
                        },
                    }
                ),
            ),
        }
    )


def _model() -> dict:
    """Return the released model: networks, conditions, schedule and clip shape."""
    scale = 1.5  # maps are 384x384 where the video is 256x256
    return {
        "name": "videocomposer",
        "networks": {
            "unet": {
                "base_channels": 320,
                "channel_multipliers": (1, 2, 4, 4),
                "num_res_blocks": 2,
                "attention_levels": (0, 1, 2),
                "head_dim": 64,
                "num_input_heads": 8,
                "latent_channels": 4,
                "norm_groups": 32,
                "dropout": 0.1,
                "frame_embedding": False,
            },
            "stc": {
                "out_channels": 8,
                "expansion": 4,
                "heads": 2,
                "patch_size": 1,
                "frame_embedding": False,
                "temporal": True,
                "dropout": 0.05,
            },
            "tokens": {"token_dim": 1024},
            "autoencoder": {
                "base_channels": 128,
                "channel_multipliers": (1, 2, 4, 4),
                "num_res_blocks": 2,
                "latent_channels": 4,
                "scaling_factor": 0.18215,
                "norm_groups": 32,
                "patch_size": 1,
            },
            "text": {"vocab_size": 49408, "context_length": 77, "width": 1024, "layers": 23, "heads": 16},
            "vision": {
                "image_size": 224,
                "patch_size": 14,
                "width": 1280,
                "layers": 32,
                "heads": 16,
                "embed_dim": 1024,
            },
        },
        "conditions": {
            "text": {},
            "style": {"embed_dim": 1024, "image_size": 224},
            "image": {"scale": scale},
            "single_sketch": {"scale": scale, "use_cleaner": True},
            "motion": {"scale": 1.0, "form": "centre", "bit_rate": 200_000, "gop": 12},
            "depth": {"scale": scale, "divisor": 20.0, "white": 2.0},
            "mask": {"scale": scale},
            "sketch": {"scale": scale, "use_cleaner": True},
        },
        "schedule": {
            "timesteps": 1000,
            "kind": "scaled_linear",
            "beta_start": 0.00085,
            "beta_end": 0.0120,
            "zero_terminal_snr": False,
        },
        "prediction": "epsilon",
        "clip": {"frames": 16, "height": 256, "width": 256, "fps": 4.0},
        "defaults": {"steps": 50, "guidance": 9.0},
    }
