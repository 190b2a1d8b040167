"""Parity of the extraction networks with the originals, in float32 with random weights."""

import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import difference, torch
from tests.parity.reduced import NETWORKS, converted
from vcjax.models.pidinet import MEAN, STD

pytestmark = pytest.mark.parity

BOUND = 1e-4


def predict(component, tensors, images, kind=None):
    """Return the output of a network with the tensors of the original."""
    variables = {"params": converted(kind or component, tensors)[component]}
    return run(getattr(NETWORKS, component), variables, images)


def random_images(height, width, channels=3):
    return np.random.default_rng(0).uniform(-1, 1, (2, height, width, channels)).astype(np.float32)


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def open_clip_tower():
    """Return OpenCLIP's image tower, with its tensors as in a file of both towers."""
    tower = originals.image_tower(NETWORKS.vision)
    return {f"visual.{name}": x for name, x in originals.tensors(tower).items()}, tower


def transformers_tower():
    """Return the same from transformers, configured with OpenCLIP's exact GELU."""
    transformers = pytest.importorskip("transformers")
    sizes = NETWORKS.vision
    config = transformers.CLIPVisionConfig(
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        projection_dim=sizes.embed_dim,
        hidden_act="gelu",
    )
    tower = originals.filled(transformers.CLIPVisionModelWithProjection(config))
    return originals.tensors(tower), lambda images: tower(images).image_embeds


@pytest.mark.parametrize("layout", [open_clip_tower, transformers_tower])
def test_image_tower_equals_the_original(layout):
    tensors, tower = layout()
    images = random_images(NETWORKS.vision.image_size, NETWORKS.vision.image_size)
    with torch.no_grad():
        expected = tower(channels_first(images))
    assert difference(predict("vision", tensors, images, "clip"), expected) < BOUND


def original_depth():
    original = originals.depth(NETWORKS.depth)
    return original, lambda images: original(images)[:, 0]


def transformers_depth():
    """Return the same from transformers, configured with the epsilon of the norms."""
    transformers = pytest.importorskip("transformers")
    sizes = NETWORKS.depth
    quarter = sizes.layers // 4
    config = transformers.DPTConfig(
        image_size=sizes.image_size,
        patch_size=sizes.patch_size,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        backbone_out_indices=[quarter * (i + 1) - 1 for i in range(4)],
        neck_hidden_sizes=list(sizes.neck_channels),
        neck_ignore_stages=[],
        fusion_hidden_size=sizes.fusion_channels,
        layer_norm_eps=1e-5,
        is_hybrid=False,
    )
    original = originals.filled(transformers.DPTForDepthEstimation(config))
    return original, lambda images: original(images).predicted_depth


@pytest.mark.parametrize(
    ("layout", "height", "width"),
    [
        (original_depth, 96, 96),
        (original_depth, 64, 128),  # other sizes interpolate the positions
        (transformers_depth, 96, 96),
        (transformers_depth, 128, 128),  # transformers supports squares only
    ],
)
def test_depth_network_equals_the_original(layout, height, width):
    original, depth = layout()
    last = "head.4.bias" if layout is original_depth else "head.head.4.bias"
    with torch.no_grad():
        original.get_parameter(last).fill_(
            10.0
        )  # keeps most outputs above 0, where the last ReLU passes them
        images = random_images(height, width)
        expected = depth(channels_first(images))
    assert (expected > 0).float().mean() > 0.9
    assert difference(predict("depth", originals.tensors(original), images)[..., 0], expected) < BOUND


@pytest.mark.parametrize(("height", "width"), [(64, 64), (45, 70)])
def test_pidinet_with_converted_kernels_equals_the_original(height, width):
    images = (np.abs(random_images(height, width)) - np.float32(MEAN)) / np.float32(STD)
    images = images.astype(np.float32)
    original = originals.pidinet(
        NETWORKS.sketch.base_channels, NETWORKS.sketch.dilation_channels, converted=False
    )
    tensors = {f"module.{name}": x for name, x in originals.tensors(original).items()}
    with torch.no_grad():
        expected = original(channels_first(images)).permute(0, 2, 3, 1)
    assert difference(predict("sketch", tensors, images), expected) < BOUND


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 72)])
def test_sketch_cleaner_equals_the_original(height, width):
    original = originals.cleaner()
    images = 1 - 0.2 * np.abs(random_images(height, width, channels=1))
    with torch.no_grad():
        expected = original(channels_first(images)).permute(0, 2, 3, 1)
    assert difference(predict("cleaner", originals.tensors(original), images), expected) < BOUND
