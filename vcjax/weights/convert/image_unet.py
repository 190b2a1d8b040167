"""Stable Diffusion's image UNet as the start of the 3D UNet (arXiv 2306.02018).

The layers of one frame are taken over; those along the frames stay as they begin, where they change nothing, and the
condition channels of the first convolution are zero. So the 3D UNet begins as the image UNet applied to each frame.
"""

from collections.abc import Collection, Mapping

import numpy as np

from vcjax.models.unet import UNet
from vcjax.weights.convert.autoencoder import SCHEDULE
from vcjax.weights.convert.rules import Entry, Ignored, norm, to_ours, under, weight_and_bias
from vcjax.weights.convert.unet import residual_entries, transformer_entries
from vcjax.weights.trees import Tree, flatten, unflatten

PREFIX = "model.diffusion_model."  # of the UNet in a whole Stable Diffusion checkpoint
ENTRY = "entry_conv/kernel"  # the one tensor that is larger here: it has the condition channels too
IGNORED = (
    Ignored(
        r"(first_stage_model|cond_stage_model|model_ema)\..*",
        "the autoencoder, the text tower and the running means",
    ),
    SCHEDULE,
)


def started(unet: UNet, tree: Tree, tensors: Mapping[str, np.ndarray], source: str) -> Tree:
    """Parameters of a 3D UNet that begins as an image UNet.

    Args:
        unet: its sizes, which are the image UNet's.
        tree: its parameters as they begin (`Networks.init`).
        tensors: those of the image UNet, under its original names or those of diffusers.
        source: how to call where the tensors come from.

    Raises:
        BadInput: a tensor is missing, unknown or misshapen; the sentence names it.
    """
    flat = {name: np.asarray(x) for name, x in flatten(tree).items()}
    shapes = {name: x.shape for name, x in flat.items()}
    rows, columns, _, width = shapes[ENTRY]
    shapes[ENTRY] = rows, columns, unet.latent_channels, width
    found = to_ours(entries_for(unet, tensors), tensors, shapes, IGNORED, source)
    entry = np.zeros_like(flat[ENTRY])
    entry[:, :, : unet.latent_channels] = found[ENTRY]
    return unflatten(flat | found | {ENTRY: entry})


def entries_for(unet: UNet, names: Collection[str]) -> list[Entry]:
    """Entries in the layout that a file's names speak of."""
    if "conv_in.weight" in names:
        return diffusers_entries(unet)
    prefixed = any(name.startswith(PREFIX) for name in names)
    return under(PREFIX if prefixed else "", "", original_entries(unet))


def original_entries(unet: UNet) -> list[Entry]:
    """Entries under the names of the original checkpoint, whose blocks are counted through all levels."""
    entries = [
        *weight_and_bias("time_embed.0", "time_0", "linear"),
        *weight_and_bias("time_embed.2", "time_1", "linear"),
        *weight_and_bias("input_blocks.0.0", "entry_conv", "conv"),
        *under("middle_block.0.", "middle_0_residual/", residual_entries(skip=False)),
        *under("middle_block.1.", "middle_spatial/", transformer_entries("linear")),
        *under("middle_block.2.", "middle_1_residual/", residual_entries(skip=False)),
        *norm("out.0", "head_norm"),
        *weight_and_bias("out.2", "head_conv", "conv"),
    ]
    index = 1
    for level, i, skip in _down(unet):
        if i is None:
            entries += weight_and_bias(f"input_blocks.{index}.0.op", f"down_{level}_sample/conv", "conv")
        else:
            block, ours = f"input_blocks.{index}", f"down_{level}_{i}"
            entries += under(f"{block}.0.", f"{ours}_residual/", residual_entries(skip))
            if level in unet.attention_levels:
                entries += under(f"{block}.1.", f"{ours}_spatial/", transformer_entries("linear"))
        index += 1
    for index, (level, i, skip) in enumerate(_up(unet)):
        block, ours, attends = f"output_blocks.{index}", f"up_{level}_{i}", level in unet.attention_levels
        entries += under(f"{block}.0.", f"{ours}_residual/", residual_entries(skip))
        if attends:
            entries += under(f"{block}.1.", f"{ours}_spatial/", transformer_entries("linear"))
        if level > 0 and i == unet.blocks:
            sample = f"{block}.{2 if attends else 1}.conv"
            entries += weight_and_bias(sample, f"up_{level}_sample/conv", "conv")
    return entries


def diffusers_entries(unet: UNet) -> list[Entry]:
    """Entries under the names of diffusers' `UNet2DConditionModel`, whose decoder counts from the coarsest level."""
    entries = [
        *weight_and_bias("time_embedding.linear_1", "time_0", "linear"),
        *weight_and_bias("time_embedding.linear_2", "time_1", "linear"),
        *weight_and_bias("conv_in", "entry_conv", "conv"),
        *under("mid_block.resnets.0.", "middle_0_residual/", _diffusers_residual(skip=False)),
        *under("mid_block.attentions.0.", "middle_spatial/", transformer_entries("linear")),
        *under("mid_block.resnets.1.", "middle_1_residual/", _diffusers_residual(skip=False)),
        *norm("conv_norm_out", "head_norm"),
        *weight_and_bias("conv_out", "head_conv", "conv"),
    ]
    for level, i, skip in _down(unet):
        block, ours = f"down_blocks.{level}", f"down_{level}_{i}"
        if i is None:
            entries += weight_and_bias(f"{block}.downsamplers.0.conv", f"down_{level}_sample/conv", "conv")
            continue
        entries += under(f"{block}.resnets.{i}.", f"{ours}_residual/", _diffusers_residual(skip))
        if level in unet.attention_levels:
            entries += under(f"{block}.attentions.{i}.", f"{ours}_spatial/", transformer_entries("linear"))
    for level, i, skip in _up(unet):
        block, ours = f"up_blocks.{len(unet.multipliers) - 1 - level}", f"up_{level}_{i}"
        entries += under(f"{block}.resnets.{i}.", f"{ours}_residual/", _diffusers_residual(skip))
        if level in unet.attention_levels:
            entries += under(f"{block}.attentions.{i}.", f"{ours}_spatial/", transformer_entries("linear"))
        if level > 0 and i == unet.blocks:
            entries += weight_and_bias(f"{block}.upsamplers.0.conv", f"up_{level}_sample/conv", "conv")
    return entries


def _down(unet: UNet) -> list[tuple[int, int | None, bool]]:
    """Level, index (None: the downsampling) and whether widths differ, of each block in the order in which they run."""
    found: list[tuple[int, int | None, bool]] = []
    x, last = 1, len(unet.multipliers) - 1
    for level, multiplier in enumerate(unet.multipliers):
        for i in range(unet.blocks):
            found.append((level, i, x != multiplier))
            x = multiplier
        if level < last:
            found.append((level, None, False))
    return found


def _up(unet: UNet) -> list[tuple[int, int, bool]]:
    """The same of the decoder, each block of which also takes what the encoder left: always another width."""
    return [
        (level, i, True) for level in reversed(range(len(unet.multipliers))) for i in range(unet.blocks + 1)
    ]


def _diffusers_residual(skip: bool) -> list[Entry]:
    return [
        *norm("norm1", "norm_0"),
        *weight_and_bias("conv1", "conv_0", "conv"),
        *weight_and_bias("time_emb_proj", "time", "linear"),
        *norm("norm2", "norm_1"),
        *weight_and_bias("conv2", "conv_1", "conv"),
        *(weight_and_bias("conv_shortcut", "skip", "conv1x1") if skip else []),
    ]
