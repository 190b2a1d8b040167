"""A model of reduced width on both sides, with the original's weights in ours."""

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
    unet=UNet(width=64, multipliers=(1, 2), blocks=1, attention_levels=(0,), head_size=16, entry_heads=2),
    autoencoder=Autoencoder(width=32, multipliers=(1, 2), blocks=1),
    text=TextTower(vocabulary=500, layers=2, heads=4),
    vision=ImageTower(size=56, width=64, layers=3, heads=4),
    depth=DPT(size=96, width=48, layers=8, heads=3, necks=(16, 24, 32, 40), fusion=20),
    sketch=PiDiNet(width=12, dilated=6),
    cleaner=SketchCleaner(),  # the original has one size
)


def converted(kind, tensors, networks=NETWORKS):
    """Trees of ours that hold an original's tensors."""
    between = bijection(kind, tensors, networks)
    return between.to_ours(tensors, shapes_of(networks, between.entries), "the original")


def unet():
    """The original's UNet with all conditions, and our trees of it."""
    original = originals.unet(empty_text=originals.torch.from_numpy(empty_text()))
    return original, converted("unet", originals.tensors(original))


def empty_text():
    """Stands for the embedding of the empty string, [1, 77, 1024]."""
    return np.random.default_rng(99).standard_normal((1, 77, 1024), np.float32)
