"""The PyTorch originals: single files of the installed packages `modelscope` and `open_clip_torch`, loaded by path.

Neither package is imported as a whole (they need CUDA and dozens of packages); what the files import beyond PyTorch is
replaced while they load. Weights are random and none of them zero.
"""

import contextlib
import enum
import importlib
import importlib.metadata
import sys
import types
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from vcjax.models.unet import UNet

torch = pytest.importorskip("torch", reason="the originals are PyTorch programs: run `make parity`")

VIDEOCOMPOSER = "modelscope", "modelscope/models/multi_modal/videocomposer"
OPEN_CLIP = "open_clip_torch", "open_clip"


class InterpolationMode(enum.Enum):
    """torchvision's names of PIL's filters."""

    BILINEAR = PIL.Image.Resampling.BILINEAR
    BICUBIC = PIL.Image.Resampling.BICUBIC
    LANCZOS = PIL.Image.Resampling.LANCZOS


def resize(image, size, interpolation):
    """What torchvision's `resize` does with a PIL image: its short side to `size`, its long side truncated."""
    short, long = min(image.size), max(image.size)
    other = int(size * long / short)
    shape = (size, other) if image.width <= image.height else (other, size)
    return image.resize(shape, interpolation.value)


def to_tensor(image):
    """What torchvision's `to_tensor` does with a PIL image: [3, H, W] in [0, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().to(torch.float32).div(255)


STUBS = {
    "fairscale.nn.checkpoint": {"checkpoint_wrapper": lambda module: module},
    "modelscope.models.multi_modal.videocomposer.utils.utils": {"DOWNLOAD_TO_CACHE": None},
    "rotary_embedding_torch": {"RotaryEmbedding": None},
    "torchvision.ops.misc": {"FrozenBatchNorm2d": None},
    "torchvision.transforms.functional": {
        "InterpolationMode": InterpolationMode,
        "resize": resize,
        "to_tensor": to_tensor,
    },
}
ALL = ("text", "mask", "depthmap", "sketch", "motion", "image", "local_image", "single_sketch")
# Names of the original's inputs for ours.
INPUTS = {
    "image": "local_image",
    "single_sketch": "single_sketch",
    "motion": "motion",
    "depth": "depth",
    "mask": "masked",
    "sketch": "sketch",
}


def folder(package):
    """Where a package's files lie; the test is skipped where it is not installed."""
    distribution, path = package
    try:
        found = Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs the package {distribution}: run `make parity`")
    assert found.is_dir()
    return found


def load(package, name):
    """One file of a package, with those that it imports relatively, but without any `__init__`."""
    root = f"original_{package[1].rpartition('/')[2]}"
    with _stubs():
        for part in ("", "ops", "data", "models", "annotator", "annotator.sketch"):
            module = f"{root}.{part}".rstrip(".")
            if module not in sys.modules:
                sys.modules[module] = _module(
                    module, __path__=[str(folder(package) / part.replace(".", "/"))]
                )
        return importlib.import_module(f"{root}.{name}")


@contextlib.contextmanager
def _stubs():
    """Packages that are not installed, only while the originals load: others must not find them."""
    made = []
    for name, attributes in STUBS.items():
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            part = ".".join(parts[:i])
            if part not in sys.modules:
                made.append(part)
                sys.modules[part] = _module(part, **(attributes if i == len(parts) else {}))
    yield
    for part in made:
        del sys.modules[part]


def _module(name, **attributes):
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    return module


def filled(module, seed=0):
    """The module with random parameters of sensible size, none of them zero, in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            x = torch.randn(parameter.shape, generator=generator)
            x[x == 0] = 1.0  # as one of many millions may be
            if parameter.ndim > 1:
                parameter.copy_(x / np.sqrt(parameter[0].numel()))
            else:
                parameter.copy_(0.1 * x + (1.0 if name.endswith("weight") else 0.0))
            assert parameter.all()
    return module.eval()


def unet(compositions=ALL, width=64, multipliers=(1, 2), head_size=16, empty_text=None):
    """The original's UNet at a reduced width: attention at the first level only, one residual block a level."""
    sizes = UNet(
        width=width,
        multipliers=multipliers,
        blocks=1,
        attention_levels=(0,),
        head_size=head_size,
        entry_heads=2,
    )
    return filled(unet_like(sizes, compositions, empty_text))


def unet_like(sizes, compositions=ALL, empty_text=None):
    """The original's UNet with the sizes of one of ours, as it begins."""
    return load(VIDEOCOMPOSER, "unet_sd").UNetSD_temporal(
        cfg=types.SimpleNamespace(resume=True),
        in_dim=sizes.latent_channels,
        dim=sizes.width,
        y_dim=1024,
        context_dim=1024,
        out_dim=sizes.latent_channels,
        dim_mult=list(sizes.multipliers),
        num_heads=sizes.entry_heads,
        head_dim=sizes.head_size,
        num_res_blocks=sizes.blocks,
        attn_scales=[2.0**-level for level in sizes.attention_levels],
        dropout=sizes.dropout,
        use_image_dataset=False,
        video_compositions=list(compositions),
        zero_y=empty_text,
    )


def autoencoder(width=32, multipliers=(1, 2), blocks=1):
    """The original's autoencoder at a reduced width."""
    sizes = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": width,
        "ch_mult": list(multipliers),
        "num_res_blocks": blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return filled(load(VIDEOCOMPOSER, "autoencoder").AutoencoderKL(sizes, 4))


def pidinet(width=60, dilated=24, folded=True):
    """The original's line network: with plain convolutions, or with those of pixel differences as it was trained."""
    module = load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    kinds = (module.config_model_converted if folded else module.config_model)("carv4")
    return filled(module.PiDiNet(width, kinds, dil=dilated, sa=True, convert=folded))


def cleaner():
    """The original's sketch cleaner, which has one size."""
    return filled(load(VIDEOCOMPOSER, "annotator.sketch.sketch_simplification").sketch_simplification_gan(""))


def image_tower(sizes):
    """OpenCLIP's image tower with the sizes of one of ours."""
    return filled(
        load(OPEN_CLIP, "transformer").VisionTransformer(
            image_size=sizes.size,
            patch_size=sizes.patch,
            width=sizes.width,
            layers=sizes.layers,
            heads=sizes.heads,
            mlp_ratio=4.0,
            output_dim=sizes.features,
        )
    )


def depth(sizes):
    """The original's depth network with the sizes of one of ours."""
    return filled(
        load(VIDEOCOMPOSER, "models.midas").MiDaS(
            image_size=sizes.size,
            patch_size=sizes.patch,
            dim=sizes.width,
            neck_dims=list(sizes.necks),
            fusion_dim=sizes.fusion,
            num_heads=sizes.heads,
            num_layers=sizes.layers,
        )
    )


def diffusion():
    """The original's sampler as it is released."""
    module = load(VIDEOCOMPOSER, "diffusion")
    betas = module.beta_schedule("linear_sd", 1000, init_beta=0.00085, last_beta=0.0120)
    return module.GaussianDiffusion(
        betas, mean_type="eps", var_type="fixed_small", loss_type="mse", rescale_timesteps=False
    )


def tensors(module):
    """A module's state as numpy arrays, by name."""
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def channels_first(x):
    """[B, F, h, w, C] -> [B, C, F, h, w], as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1)))


def channels_last(x):
    """[B, C, F, h, w] -> [B, F, h, w, C], as an array."""
    return np.moveaxis(x.detach().numpy(), 1, -1)


def difference(ours, original):
    """The greatest absolute difference, in units of the original's standard deviation."""
    ours, original = np.asarray(ours), np.asarray(original)
    assert ours.shape == original.shape
    deviation = original.std()
    assert deviation > 1e-3  # an output of nothing would agree with anything
    return float(np.abs(ours - original).max() / deviation)
