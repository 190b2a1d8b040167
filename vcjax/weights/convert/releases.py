"""The releases of VideoComposer whose weights can be converted, and how they differ.

Sources: the code of VideoComposer (damo/VideoComposer on ModelScope), and of its later versions in VGen (ali-vilab/VGen):
the configurations `tft2v_vcomposer_infer` and `videolcm_vcomposer_infer`. The later networks have four style tokens, predict
the velocity with zero terminal SNR, see maps at the size of the clip, and take a negative prompt in place of the empty text.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from vcjax.conditions.catalogue import CATALOGUE, map_channels
from vcjax.errors import BadInput
from vcjax.models.clip import ImageTower
from vcjax.models.dpt import DPT
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.weights.networks import Networks, networks_to_config

CHANNELS = map_channels(CATALOGUE)
VECTORS = {"style": 1024}

MAP = {"scale": 1.5}  # condition maps are 384x384 for 256x256 video
CONDITIONS: dict[str, dict[str, Any]] = {
    "text": {},
    "style": {"embed_dim": VECTORS["style"]},
    "image": MAP,
    "single_sketch": MAP,
    "motion": {"form": "centre", "bit_rate": 200_000, "gop": 12},
    # Depth value of white in a depth map that the user provides. Predicted depths are divided by 20, after
    # which near objects in everyday scenes have values of about 2. This is an estimate: the original accepts
    # no depth maps.
    "depth": {**MAP, "white": 2.0},
    "mask": MAP,
    "sketch": MAP,
}

RELEASED = Networks(vision=ImageTower(), depth=DPT(), sketch=PiDiNet(), cleaner=SketchCleaner())
# Red, green and blue of each channel of the latents of Stable Diffusion 1's autoencoder, as ComfyUI has them.
LATENT_COLOURS = (
    (0.3512, 0.2297, 0.3227), (0.3250, 0.4974, 0.2350), (-0.2829, 0.1762, 0.2721), (-0.2120, -0.2616, -0.7177)
)  # fmt: skip
NEGATIVE_PROMPT = (
    "Distorted, discontinuous, Ugly, blurry, low resolution, motionless, static, disfigured, disconnected limbs, "
    "Ugly faces, incomplete arms"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Release:
    """A release of weights.

    Attributes:
        name: name of the model, and of the release.
        unet: name of the file with UNet, STC-encoders and style MLP.
        config: keys of config.json that differ from those of VideoComposer.
        vector_tokens: tokens of the style.
    """

    name: str
    unet: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    vector_tokens: int = 1

    def networks(self, networks: Networks) -> Networks:
        """Return networks with the token encoder of this release."""
        return dataclasses.replace(networks, tokens=networks.tokens.clone(vector_tokens=self.vector_tokens))


def _later(name: str, unet: str, suffix: str, defaults: Mapping[str, Any]) -> Release:
    """Return a release of VGen."""
    at_clip_size = {
        key: {k: v for k, v in settings.items() if k != "scale"} for key, settings in CONDITIONS.items()
    }
    config = {
        "conditions": {**at_clip_size, "text": {"suffix": suffix, "null_text": NEGATIVE_PROMPT}},
        "schedule": {"zero_terminal_snr": True},
        "prediction": "v",
        "clip": {"frames": 16, "height": 256, "width": 448, "fps": 3.0},
        "defaults": defaults,
    }
    return Release(name=name, unet=unet, config=config, vector_tokens=4)


RELEASES = {
    release.name: release
    for release in (
        Release(name="videocomposer", unet="non_ema_228000.pth"),
        _later(
            "tf-t2v",
            "tft2v_vcomposer_non_ema_254000.pth",
            ", cinematic, High Contrast, highly detailed, no blur, 4k render",
            {"steps": 50, "guidance": 9.0},
        ),
        _later(
            "videolcm",
            "videolcm_vcomposer_non_ema_914000.pth",
            ", cinematic, High Contrast, highly detailed, Unreal Engine 5, no blur, 4k render",
            {"steps": 4, "guidance": 1.0, "sampler": "lcm"},
        ),
    )
}


def release_named(name: str) -> Release:
    """Return a release.

    Raises:
        BadInput: there is no release of this name.
    """
    if name not in RELEASES:
        raise BadInput(f"release must be one of {', '.join(RELEASES)}, not {name!r}")
    return RELEASES[name]


def configuration(release: Release, networks: Networks) -> dict[str, Any]:
    """Return config.json of a release, with an empty list of files."""
    settings = networks_to_config(networks)
    return {
        "name": release.name,
        "networks": {
            component: {k: list(v) if isinstance(v, tuple) else v for k, v in fields.items()}
            for component, fields in settings.items()
        },
        "conditions": CONDITIONS,
        "schedule": {},
        "prediction": "epsilon",
        "clip": {"frames": 16, "height": 256, "width": 256, "fps": 4.0},
        "defaults": {"steps": 50, "guidance": 9.0},
        "latent_colours": {"matrix": LATENT_COLOURS, "bias": (0.0, 0.0, 0.0)},
        "files": {},
        **release.config,
    }
