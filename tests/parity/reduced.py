"""A small model with the weights of small PyTorch originals."""

import numpy as np

from tests.parity import originals
from vcjax.models.autoencoder import Autoencoder
from vcjax.models.clip import ImageTower, TextTower
from vcjax.models.dpt import DPT
from vcjax.models.pidinet import PiDiNet
from vcjax.models.sketch_cleaner import SketchCleaner
from vcjax.models.unet import UNet
from vcjax.weights.convert.released import bijection, shapes_of
from vcjax.weights.networks import Networks

NETWORKS = Networks(
    unet=UNet(
        base_channels=64,
        channel_multipliers=(1, 2),
        num_res_blocks=1,
        attention_levels=(0,),
        head_dim=16,
        num_input_heads=2,
    ),
    autoencoder=Autoencoder(base_channels=32, channel_multipliers=(1, 2), num_res_blocks=1),
    text=TextTower(vocab_size=500, layers=2, heads=4),
    vision=ImageTower(image_size=56, width=64, layers=3, heads=4),
    depth=DPT(image_size=96, width=48, layers=8, heads=3, neck_channels=(16, 24, 32, 40), fusion_channels=20),
    sketch=PiDiNet(base_channels=12, dilation_channels=6),
    cleaner=SketchCleaner(),  # the original has one size
)


def converted(kind, tensors, networks=NETWORKS):
    """Return the parameter trees converted from the tensors of an original."""
    rules = bijection(kind, tensors, networks)
    return rules.to_flax(tensors, shapes_of(networks, rules.entries), "the original")


def unet():
    """Return the original UNet with all conditions, and its converted parameter trees."""
    original = originals.unet(empty_text=originals.torch.from_numpy(empty_text()))
    return original, converted("unet", originals.tensors(original))


def empty_text():
    """Return a random array in place of the embedding of the empty string, [1, 77, 1024]."""
    return np.random.default_rng(99).standard_normal((1, 77, 1024), np.float32)
