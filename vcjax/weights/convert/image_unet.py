"""Initialise the 3D UNet from Stable Diffusion's image UNet (arXiv 2306.02018).

The spatial layers are copied. The temporal layers keep their initial values, with which they are the
identity, and the weights of the first convolution for the condition channels are zero. The initial 3D UNet is
thus the image UNet applied to each frame.
"""

from collections.abc import Collection, Mapping

import numpy as np

from vcjax.models.unet import UNet
from vcjax.weights.convert.autoencoder import SCHEDULE
from vcjax.weights.convert.rules import Entry, Ignored, norm, to_flax, weight_and_bias, with_prefixes
from vcjax.weights.convert.unet import residual_entries, transformer_entries
from vcjax.weights.trees import Tree, flatten, unflatten

PREFIX = "model.diffusion_model."  # of the UNet in a full Stable Diffusion checkpoint
CONV_IN = "conv_in/kernel"  # the only tensor of another shape: it also has the condition channels
IGNORED = (
    Ignored(
        r"(first_stage_model|cond_stage_model|model_ema)\..*",
        "the autoencoder, the text tower and the EMA weights",
    ),
    SCHEDULE,
)


def init_from_image_unet(unet: UNet, tree: Tree, tensors: Mapping[str, np.ndarray], source: str) -> Tree:
    """Return the parameters of a 3D UNet initialised from an image UNet.

    Args:
        unet: the 3D UNet; its spatial sizes must be the image UNet's.
        tree: initial parameters of the 3D UNet (`Networks.init`).
        tensors: tensors of the image UNet, with the names of the original checkpoint or of diffusers.
        source: where the tensors come from, for error messages.

    Raises:
        BadInput: a tensor is missing, unknown or of the wrong shape; the message names it.
    """
    flat = {name: np.asarray(x) for name, x in flatten(tree).items()}
    shapes = {name: x.shape for name, x in flat.items()}
    rows, columns, _, width = shapes[CONV_IN]
    shapes[CONV_IN] = rows, columns, unet.latent_channels, width
    copied = to_flax(entries_for(unet, tensors), tensors, shapes, IGNORED, source)
    kernel = np.zeros_like(flat[CONV_IN])
    kernel[:, :, : unet.latent_channels] = copied[CONV_IN]
    return unflatten(flat | copied | {CONV_IN: kernel})


def entries_for(unet: UNet, names: Collection[str]) -> list[Entry]:
    """Return the entries for the checkpoint layout detected from the tensor names of a file."""
    if "conv_in.weight" in names:
        return diffusers_entries(unet)
    prefixed = any(name.startswith(PREFIX) for name in names)
    return with_prefixes(PREFIX if prefixed else "", "", original_entries(unet))


def original_entries(unet: UNet) -> list[Entry]:
    """Return the entries with the names of the original checkpoint, which numbers blocks across levels."""
    entries = [
        *weight_and_bias("time_embed.0", "time_0", "linear"),
        *weight_and_bias("time_embed.2", "time_1", "linear"),
        *weight_and_bias("input_blocks.0.0", "conv_in", "conv"),
        *with_prefixes("middle_block.0.", "middle_0_residual/", residual_entries(skip=False)),
        *with_prefixes("middle_block.1.", "middle_spatial/", transformer_entries("linear")),
        *with_prefixes("middle_block.2.", "middle_1_residual/", residual_entries(skip=False)),
        *norm("out.0", "norm_out"),
        *weight_and_bias("out.2", "conv_out", "conv"),
    ]
    index = 1
    for level, i, skip in _down(unet):
        if i is None:
            entries += weight_and_bias(f"input_blocks.{index}.0.op", f"down_{level}_sample/conv", "conv")
        else:
            block, flax = f"input_blocks.{index}", f"down_{level}_{i}"
            entries += with_prefixes(f"{block}.0.", f"{flax}_residual/", residual_entries(skip))
            if level in unet.attention_levels:
                entries += with_prefixes(f"{block}.1.", f"{flax}_spatial/", transformer_entries("linear"))
        index += 1
    for index, (level, i, skip) in enumerate(_up(unet)):
        block, flax, attends = f"output_blocks.{index}", f"up_{level}_{i}", level in unet.attention_levels
        entries += with_prefixes(f"{block}.0.", f"{flax}_residual/", residual_entries(skip))
        if attends:
            entries += with_prefixes(f"{block}.1.", f"{flax}_spatial/", transformer_entries("linear"))
        if level > 0 and i == unet.num_res_blocks:
            sample = f"{block}.{2 if attends else 1}.conv"
            entries += weight_and_bias(sample, f"up_{level}_sample/conv", "conv")
    return entries


def diffusers_entries(unet: UNet) -> list[Entry]:
    """Return the entries with the names of diffusers' `UNet2DConditionModel`.

    Its up blocks are numbered from the lowest resolution.
    """
    entries = [
        *weight_and_bias("time_embedding.linear_1", "time_0", "linear"),
        *weight_and_bias("time_embedding.linear_2", "time_1", "linear"),
        *weight_and_bias("conv_in", "conv_in", "conv"),
        *with_prefixes("mid_block.resnets.0.", "middle_0_residual/", _diffusers_residual(skip=False)),
        *with_prefixes("mid_block.attentions.0.", "middle_spatial/", transformer_entries("linear")),
        *with_prefixes("mid_block.resnets.1.", "middle_1_residual/", _diffusers_residual(skip=False)),
        *norm("conv_norm_out", "norm_out"),
        *weight_and_bias("conv_out", "conv_out", "conv"),
    ]
    for level, i, skip in _down(unet):
        block, flax = f"down_blocks.{level}", f"down_{level}_{i}"
        if i is None:
            entries += weight_and_bias(f"{block}.downsamplers.0.conv", f"down_{level}_sample/conv", "conv")
            continue
        entries += with_prefixes(f"{block}.resnets.{i}.", f"{flax}_residual/", _diffusers_residual(skip))
        if level in unet.attention_levels:
            entries += with_prefixes(
                f"{block}.attentions.{i}.", f"{flax}_spatial/", transformer_entries("linear")
            )
    for level, i, skip in _up(unet):
        block, flax = f"up_blocks.{len(unet.channel_multipliers) - 1 - level}", f"up_{level}_{i}"
        entries += with_prefixes(f"{block}.resnets.{i}.", f"{flax}_residual/", _diffusers_residual(skip))
        if level in unet.attention_levels:
            entries += with_prefixes(
                f"{block}.attentions.{i}.", f"{flax}_spatial/", transformer_entries("linear")
            )
        if level > 0 and i == unet.num_res_blocks:
            entries += weight_and_bias(f"{block}.upsamplers.0.conv", f"up_{level}_sample/conv", "conv")
    return entries


def _down(unet: UNet) -> list[tuple[int, int | None, bool]]:
    """Return (level, block index, has skip projection) of each encoder block in execution order.

    The index is None for a downsampling layer.
    """
    blocks: list[tuple[int, int | None, bool]] = []
    x, last = 1, len(unet.channel_multipliers) - 1
    for level, multiplier in enumerate(unet.channel_multipliers):
        for i in range(unet.num_res_blocks):
            blocks.append((level, i, x != multiplier))
            x = multiplier
        if level < last:
            blocks.append((level, None, False))
    return blocks


def _up(unet: UNet) -> list[tuple[int, int, bool]]:
    """Return (level, block index, has skip projection) of each decoder block in execution order.

    Decoder blocks always project the skip: their input is concatenated with an encoder output, so its width
    differs.
    """
    return [
        (level, i, True)
        for level in reversed(range(len(unet.channel_multipliers)))
        for i in range(unet.num_res_blocks + 1)
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
