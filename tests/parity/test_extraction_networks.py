"""The networks that conditions are extracted with against the originals', in float32 and with random weights."""

import numpy as np
import pytest

from tests.conftest import run
from tests.parity import originals
from tests.parity.originals import difference, torch
from tests.parity.reduced import NETWORKS, converted
from vcjax.models.pidinet import DEVIATION, MEAN

pytestmark = pytest.mark.parity

BOUND = 1e-4


def answer(component, tensors, images, kind=None):
    """What our network says with the original's tensors."""
    variables = {"params": converted(kind or component, tensors)[component]}
    return run(getattr(NETWORKS, component), variables, images)


def random_images(height, width, channels=3):
    return np.random.default_rng(0).uniform(-1, 1, (2, height, width, channels)).astype(np.float32)


def channels_first(images):
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()


def open_clip_tower():
    """OpenCLIP's image tower, as it lies in a file of the whole model."""
    tower = originals.image_tower(NETWORKS.vision)
    return {f"visual.{name}": x for name, x in originals.tensors(tower).items()}, tower


def transformers_tower():
    """The same from transformers, whose config must be told OpenCLIP's exact GELU."""
    transformers = pytest.importorskip("transformers")
    sizes = NETWORKS.vision
    config = transformers.CLIPVisionConfig(
        image_size=sizes.size,
        patch_size=sizes.patch,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        projection_dim=sizes.features,
        hidden_act="gelu",
    )
    tower = originals.filled(transformers.CLIPVisionModelWithProjection(config))
    return originals.tensors(tower), lambda images: tower(images).image_embeds


@pytest.mark.parametrize("layout", [open_clip_tower, transformers_tower])
def test_the_image_tower_answers_as_the_original(layout):
    tensors, tower = layout()
    images = random_images(NETWORKS.vision.size, NETWORKS.vision.size)
    with torch.no_grad():
        expected = tower(channels_first(images))
    assert difference(answer("vision", tensors, images, "clip"), expected) < BOUND


def original_depth():
    original = originals.depth(NETWORKS.depth)
    return original, lambda images: original(images)[:, 0]


def transformers_depth():
    """The same from transformers, whose config must be told the norms' epsilon."""
    transformers = pytest.importorskip("transformers")
    sizes = NETWORKS.depth
    quarter = sizes.layers // 4
    config = transformers.DPTConfig(
        image_size=sizes.size,
        patch_size=sizes.patch,
        hidden_size=sizes.width,
        intermediate_size=4 * sizes.width,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        backbone_out_indices=[quarter * (i + 1) - 1 for i in range(4)],
        neck_hidden_sizes=list(sizes.necks),
        neck_ignore_stages=[],
        fusion_hidden_size=sizes.fusion,
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
        (transformers_depth, 128, 128),  # it takes squares only
    ],
)
def test_the_depth_network_answers_as_the_original(layout, height, width):
    original, depth = layout()
    last = "head.4.bias" if layout is original_depth else "head.head.4.bias"
    with torch.no_grad():
        original.get_parameter(last).fill_(10.0)  # so that the last ReLU passes what there is to compare
        images = random_images(height, width)
        expected = depth(channels_first(images))
    assert (expected > 0).float().mean() > 0.9
    assert difference(answer("depth", originals.tensors(original), images)[..., 0], expected) < BOUND


@pytest.mark.parametrize(("height", "width"), [(64, 64), (45, 70)])
def test_pidinet_answers_as_the_original_before_and_after_its_kernels_are_folded(height, width):
    images = (np.abs(random_images(height, width)) - np.float32(MEAN)) / np.float32(DEVIATION)
    images = images.astype(np.float32)
    original = originals.pidinet(NETWORKS.sketch.width, NETWORKS.sketch.dilated, folded=False)
    tensors = {f"module.{name}": x for name, x in originals.tensors(original).items()}
    with torch.no_grad():
        expected = original(channels_first(images)).permute(0, 2, 3, 1)
    assert difference(answer("sketch", tensors, images), expected) < BOUND


@pytest.mark.parametrize(("height", "width"), [(64, 64), (40, 72)])
def test_the_sketch_cleaner_answers_as_the_original(height, width):
    original = originals.cleaner()
    images = 1 - 0.2 * np.abs(random_images(height, width, channels=1))
    with torch.no_grad():
        expected = original(channels_first(images)).permute(0, 2, 3, 1)
    assert difference(answer("cleaner", originals.tensors(original), images), expected) < BOUND
