"""PyTorch originals: single files of the packages `modelscope` and `open_clip_torch`, loaded by path.

The packages are not imported, since they need CUDA and dozens of dependencies; other imports than PyTorch are
replaced by stubs while a file is loaded. Weights are random and not zero.
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
    """Resize a PIL image as torchvision: the short side to `size`, the long side in proportion, truncated."""
    short, long = min(image.size), max(image.size)
    other = int(size * long / short)
    shape = (size, other) if image.width <= image.height else (other, size)
    return image.resize(shape, interpolation.value)


def to_tensor(image):
    """Convert a PIL image to a tensor as torchvision: [3, H, W] in [0, 1]."""
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
# Names of the original's inputs by condition.
INPUTS = {
    "image": "local_image",
    "single_sketch": "single_sketch",
    "motion": "motion",
    "depth": "depth",
    "mask": "masked",
    "sketch": "sketch",
}


def folder(package):
    """Return the folder of a package; skip the test if it is not installed."""
    distribution, path = package
    try:
        found = Path(str(importlib.metadata.distribution(distribution).locate_file(path)))
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"needs the package {distribution}: run `make parity`")
    assert found.is_dir()
    return found


def load(package, name):
    """Import a module of a package and its relative imports, without executing any `__init__.py`."""
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
    """Provide stubs of packages that are not installed while the originals are loaded."""
    added = []
    for name, attributes in STUBS.items():
        parts = name.split(".")
        for i in range(1, len(parts) + 1):
            part = ".".join(parts[:i])
            if part not in sys.modules:
                added.append(part)
                sys.modules[part] = _module(part, **(attributes if i == len(parts) else {}))
    yield
    for part in added:
        del sys.modules[part]


def _module(name, **attributes):
    module = types.ModuleType(name)
    module.__dict__.update(attributes)
    return module


def filled(module, seed=0):
    """Fill a module with random non-zero parameters of unit output scale; return it in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            x = torch.randn(parameter.shape, generator=generator)
            x[x == 0] = 1.0  # one of many millions may be zero
            if parameter.ndim > 1:
                parameter.copy_(x / np.sqrt(parameter[0].numel()))
            else:
                parameter.copy_(0.1 * x + (1.0 if name.endswith("weight") else 0.0))
            assert parameter.all()
    return module.eval()


def unet(compositions=ALL, base_channels=64, channel_multipliers=(1, 2), head_dim=16, empty_text=None):
    """Return a small original UNet: attention at the first level only, one residual block per level."""
    sizes = UNet(
        base_channels=base_channels,
        channel_multipliers=channel_multipliers,
        num_res_blocks=1,
        attention_levels=(0,),
        head_dim=head_dim,
        num_input_heads=2,
    )
    return filled(unet_like(sizes, compositions, empty_text))


def unet_like(sizes, compositions=ALL, empty_text=None):
    """Return the original UNet with the sizes of a `UNet`, with its initial parameters."""
    return load(VIDEOCOMPOSER, "unet_sd").UNetSD_temporal(
        cfg=types.SimpleNamespace(resume=True),
        in_dim=sizes.latent_channels,
        dim=sizes.base_channels,
        y_dim=1024,
        context_dim=1024,
        out_dim=sizes.latent_channels,
        dim_mult=list(sizes.channel_multipliers),
        num_heads=sizes.num_input_heads,
        head_dim=sizes.head_dim,
        num_res_blocks=sizes.num_res_blocks,
        attn_scales=[2.0**-level for level in sizes.attention_levels],
        dropout=sizes.dropout,
        use_image_dataset=False,
        video_compositions=list(compositions),
        zero_y=empty_text,
    )


def autoencoder(base_channels=32, channel_multipliers=(1, 2), num_res_blocks=1):
    """Return a small original autoencoder."""
    sizes = {
        "double_z": True,
        "z_channels": 4,
        "resolution": 32,
        "in_channels": 3,
        "out_ch": 3,
        "ch": base_channels,
        "ch_mult": list(channel_multipliers),
        "num_res_blocks": num_res_blocks,
        "attn_resolutions": [],
        "dropout": 0.0,
    }
    return filled(load(VIDEOCOMPOSER, "autoencoder").AutoencoderKL(sizes, 4))


def pidinet(base_channels=60, dilation_channels=24, converted=True):
    """Return the original PiDiNet, with plain (`converted`) or pixel difference convolutions."""
    module = load(VIDEOCOMPOSER, "annotator.sketch.pidinet")
    kinds = (module.config_model_converted if converted else module.config_model)("carv4")
    return filled(module.PiDiNet(base_channels, kinds, dil=dilation_channels, sa=True, convert=converted))


def cleaner():
    """Return the original sketch simplification network, which has one size."""
    return filled(load(VIDEOCOMPOSER, "annotator.sketch.sketch_simplification").sketch_simplification_gan(""))


def image_tower(sizes):
    """Return OpenCLIP's image tower with the sizes of an `ImageTower`."""
    return filled(
        load(OPEN_CLIP, "transformer").VisionTransformer(
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            width=sizes.width,
            layers=sizes.layers,
            heads=sizes.heads,
            mlp_ratio=4.0,
            output_dim=sizes.embed_dim,
        )
    )


def depth(sizes):
    """Return the original depth network with the sizes of a `DPT`."""
    return filled(
        load(VIDEOCOMPOSER, "models.midas").MiDaS(
            image_size=sizes.image_size,
            patch_size=sizes.patch_size,
            dim=sizes.width,
            neck_dims=list(sizes.neck_channels),
            fusion_dim=sizes.fusion_channels,
            num_heads=sizes.heads,
            num_layers=sizes.layers,
        )
    )


def diffusion():
    """Return the original sampler with the released settings."""
    module = load(VIDEOCOMPOSER, "diffusion")
    betas = module.beta_schedule("linear_sd", 1000, init_beta=0.00085, last_beta=0.0120)
    return module.GaussianDiffusion(
        betas, mean_type="eps", var_type="fixed_small", loss_type="mse", rescale_timesteps=False
    )


def tensors(module):
    """Return the state of a module as NumPy arrays, by name."""
    return {name: tensor.detach().numpy() for name, tensor in module.state_dict().items()}


def channels_first(x):
    """Convert an array [B, F, h, w, C] to a tensor [B, C, F, h, w]."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.asarray(x), -1, 1)))


def channels_last(x):
    """Convert a tensor [B, C, F, h, w] to an array [B, F, h, w, C]."""
    return np.moveaxis(x.detach().numpy(), 1, -1)


def difference(ours, original):
    """Return the largest absolute difference in units of the original's standard deviation."""
    ours, original = np.asarray(ours), np.asarray(original)
    assert ours.shape == original.shape
    std = original.std()
    assert std > 1e-3  # a zero output would be meaningless
    return float(np.abs(ours - original).max() / std)
