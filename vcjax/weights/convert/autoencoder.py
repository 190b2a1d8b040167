"""Parameter name mappings of Stable Diffusion's autoencoder (VAE): original checkpoint and diffusers."""

import dataclasses
from collections.abc import Collection

from vcjax.models.autoencoder import Autoencoder
from vcjax.weights.convert.rules import Entry, Ignored, norm, weight_and_bias, with_prefixes

PREFIX = "first_stage_model."  # of the autoencoder in a full Stable Diffusion checkpoint
SCHEDULE = Ignored(
    r"betas|(sqrt_|log_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|posterior_.*|logvar|scale_factor",
    "the noise schedule",
)
IGNORED = (
    Ignored(
        r"(model|model_ema|cond_stage_model)\..*", "the image UNet and the text tower of Stable Diffusion"
    ),
    SCHEDULE,
    Ignored(
        r"first_stage_model\.loss\..*|loss\..*", "the discriminator that the autoencoder was trained with"
    ),
)


@dataclasses.dataclass(frozen=True)
class Names:
    """Module names of the encoder or decoder in one checkpoint layout.

    The braces in a name are placeholders for level and block index.
    """

    norm_out: str
    down: str  # residual block of the encoder
    up: str  # residual block of the decoder
    reversed_up: bool  # whether level 0 of the decoder has the lowest resolution
    down_sample: str
    up_sample: str
    middle: tuple[str, str]  # the two residual blocks of the middle block
    middle_norm: str
    middle_attention: tuple[str, ...]  # query, key, value, out
    middle_layout: str
    shortcut: str


ORIGINAL = Names(
    norm_out="norm_out",
    down="down.{}.block.{}",
    up="up.{}.block.{}",
    reversed_up=False,
    down_sample="down.{}.downsample.conv",
    up_sample="up.{}.upsample.conv",
    middle=("mid.block_1", "mid.block_2"),
    middle_norm="mid.attn_1.norm",
    middle_attention=("mid.attn_1.q", "mid.attn_1.k", "mid.attn_1.v", "mid.attn_1.proj_out"),
    middle_layout="conv1x1",
    shortcut="nin_shortcut",
)
_ATTENTION = "mid_block.attentions.0"
DIFFUSERS = Names(
    norm_out="conv_norm_out",
    down="down_blocks.{}.resnets.{}",
    up="up_blocks.{}.resnets.{}",
    reversed_up=True,
    down_sample="down_blocks.{}.downsamplers.0.conv",
    up_sample="up_blocks.{}.upsamplers.0.conv",
    middle=("mid_block.resnets.0", "mid_block.resnets.1"),
    middle_norm=f"{_ATTENTION}.group_norm",
    middle_attention=(
        f"{_ATTENTION}.to_q",
        f"{_ATTENTION}.to_k",
        f"{_ATTENTION}.to_v",
        f"{_ATTENTION}.to_out.0",
    ),
    middle_layout="linear",
    shortcut="conv_shortcut",
)
# Files written before diffusers 0.18, including the Stable Diffusion 2.1 release, name the attention layers
# differently.
DIFFUSERS_BEFORE_0_18 = dataclasses.replace(
    DIFFUSERS,
    middle_attention=tuple(f"{_ATTENTION}.{part}" for part in ("query", "key", "value", "proj_attn")),
)


def autoencoder_entries(autoencoder: Autoencoder, names: Names, prefix: str = "") -> list[Entry]:
    """Return the entries of an autoencoder of any size.

    Args:
        autoencoder: defines the sizes.
        names: module names of the checkpoint layout.
        prefix: prefix of the PyTorch names.
    """
    entries = [
        *with_prefixes("encoder.", "encoder/", _encoder(autoencoder, names)),
        *with_prefixes("decoder.", "decoder/", _decoder(autoencoder, names)),
        *weight_and_bias("quant_conv", "quant_conv", "conv1x1"),
        *weight_and_bias("post_quant_conv", "post_quant_conv", "conv1x1"),
    ]
    return with_prefixes(prefix, "", entries)


def entries_for(autoencoder: Autoencoder, names: Collection[str]) -> list[Entry]:
    """Return the entries for the checkpoint layout detected from the tensor names of a file."""
    if any(name.startswith(PREFIX) for name in names):
        return autoencoder_entries(autoencoder, ORIGINAL, PREFIX)
    if "encoder.mid.attn_1.q.weight" in names:
        return autoencoder_entries(autoencoder, ORIGINAL)
    if f"encoder.{_ATTENTION}.query.weight" in names:
        return autoencoder_entries(autoencoder, DIFFUSERS_BEFORE_0_18)
    return autoencoder_entries(autoencoder, DIFFUSERS)


def _encoder(autoencoder: Autoencoder, names: Names) -> list[Entry]:
    entries = _shared_layers(names)
    widths = [autoencoder.base_channels * multiplier for multiplier in autoencoder.channel_multipliers]
    x = autoencoder.base_channels
    for level, width in enumerate(widths):
        for i in range(autoencoder.num_res_blocks):
            entries += _block(names.down.format(level, i), f"{level}_{i}", names, x != width)
            x = width
        if level < len(widths) - 1:
            entries += weight_and_bias(names.down_sample.format(level), f"{level}_sample", "conv")
    return entries


def _decoder(autoencoder: Autoencoder, names: Names) -> list[Entry]:
    entries = _shared_layers(names)
    widths = [autoencoder.base_channels * multiplier for multiplier in autoencoder.channel_multipliers]
    x = widths[-1]
    for level in reversed(range(len(widths))):
        torch_level = len(widths) - 1 - level if names.reversed_up else level
        for i in range(autoencoder.num_res_blocks + 1):
            entries += _block(names.up.format(torch_level, i), f"{level}_{i}", names, x != widths[level])
            x = widths[level]
        if level > 0:
            entries += weight_and_bias(names.up_sample.format(torch_level), f"{level}_sample", "conv")
    return entries


def _shared_layers(names: Names) -> list[Entry]:
    """Return the entries of the layers common to encoder and decoder: the first, middle and last ones."""
    entries = [
        *weight_and_bias("conv_in", "conv_in", "conv"),
        *_block(names.middle[0], "middle/0", names, skip=False),
        *norm(names.middle_norm, "middle/norm"),
        *_block(names.middle[1], "middle/1", names, skip=False),
        *norm(names.norm_out, "norm_out"),
        *weight_and_bias("conv_out", "conv_out", "conv"),
    ]
    for torch, flax in zip(names.middle_attention, ("query", "key", "value", "out"), strict=True):
        entries += weight_and_bias(torch, f"middle/{flax}", names.middle_layout)
    return entries


def _block(torch: str, flax: str, names: Names, skip: bool) -> list[Entry]:
    return [
        *norm(f"{torch}.norm1", f"{flax}/norm_0"),
        *weight_and_bias(f"{torch}.conv1", f"{flax}/conv_0", "conv"),
        *norm(f"{torch}.norm2", f"{flax}/norm_1"),
        *weight_and_bias(f"{torch}.conv2", f"{flax}/conv_1", "conv"),
        *(weight_and_bias(f"{torch}.{names.shortcut}", f"{flax}/skip", "conv1x1") if skip else []),
    ]
