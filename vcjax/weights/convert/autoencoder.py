"""Stable Diffusion's autoencoder: the names of its original checkpoint, and those of the diffusers layout."""

import dataclasses
from collections.abc import Collection

from vcjax.models.autoencoder import Autoencoder
from vcjax.weights.convert.rules import Entry, Ignored, norm, under, weight_and_bias

PREFIX = "first_stage_model."  # of the autoencoder in a whole Stable Diffusion checkpoint
SCHEDULE = Ignored(
    r"betas|(sqrt_|log_)?(one_minus_|recip_|recipm1_)?alphas_cumprod(_prev)?|posterior_.*|logvar|scale_factor",
    "the noise schedule",
)
IGNORED = (
    Ignored(
        r"(model|model_ema|cond_stage_model)\..*", "the image UNet and the text tower of Stable Diffusion"
    ),
    SCHEDULE,
    Ignored(r"first_stage_model\.loss\..*|loss\..*", "the autoencoder's discriminator, from its training"),
)


@dataclasses.dataclass(frozen=True)
class Names:
    """What a layout calls the parts of a half of the autoencoder; braces are filled with level and index."""

    head_norm: str
    down: str  # a residual block on the way down
    up: str  # and on the way up
    reversed_up: bool  # whether the decoder's level 0 is its coarsest
    down_sample: str
    up_sample: str
    middle: tuple[str, str]  # both residual blocks of the middle
    middle_norm: str
    middle_attention: tuple[str, ...]  # query, key, value, out
    middle_layout: str
    shortcut: str


ORIGINAL = Names(
    head_norm="norm_out",
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
    head_norm="conv_norm_out",
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
# Files written before diffusers 0.18, Stable Diffusion 2.1's own among them, have other names for the attention.
DIFFUSERS_BEFORE_0_18 = dataclasses.replace(
    DIFFUSERS,
    middle_attention=tuple(f"{_ATTENTION}.{part}" for part in ("query", "key", "value", "proj_attn")),
)


def autoencoder_entries(autoencoder: Autoencoder, names: Names, prefix: str = "") -> list[Entry]:
    """Entries of an autoencoder of any size in one of the layouts, with a prefix before PyTorch's names."""
    entries = [
        *under("encoder.", "encoder/", _encoder(autoencoder, names)),
        *under("decoder.", "decoder/", _decoder(autoencoder, names)),
        *weight_and_bias("quant_conv", "to_moments", "conv1x1"),
        *weight_and_bias("post_quant_conv", "from_latent", "conv1x1"),
    ]
    return under(prefix, "", entries)


def entries_for(autoencoder: Autoencoder, names: Collection[str]) -> list[Entry]:
    """Entries in the layout that a file's names speak of."""
    if any(name.startswith(PREFIX) for name in names):
        return autoencoder_entries(autoencoder, ORIGINAL, PREFIX)
    if "encoder.mid.attn_1.q.weight" in names:
        return autoencoder_entries(autoencoder, ORIGINAL)
    if f"encoder.{_ATTENTION}.query.weight" in names:
        return autoencoder_entries(autoencoder, DIFFUSERS_BEFORE_0_18)
    return autoencoder_entries(autoencoder, DIFFUSERS)


def _encoder(autoencoder: Autoencoder, names: Names) -> list[Entry]:
    entries = _ends(names)
    widths = [autoencoder.width * multiplier for multiplier in autoencoder.multipliers]
    x = autoencoder.width
    for level, width in enumerate(widths):
        for i in range(autoencoder.blocks):
            entries += _block(names.down.format(level, i), f"{level}_{i}", names, x != width)
            x = width
        if level < len(widths) - 1:
            entries += weight_and_bias(names.down_sample.format(level), f"{level}_sample", "conv")
    return entries


def _decoder(autoencoder: Autoencoder, names: Names) -> list[Entry]:
    entries = _ends(names)
    widths = [autoencoder.width * multiplier for multiplier in autoencoder.multipliers]
    x = widths[-1]
    for level in reversed(range(len(widths))):
        theirs = len(widths) - 1 - level if names.reversed_up else level
        for i in range(autoencoder.blocks + 1):
            entries += _block(names.up.format(theirs, i), f"{level}_{i}", names, x != widths[level])
            x = widths[level]
        if level > 0:
            entries += weight_and_bias(names.up_sample.format(theirs), f"{level}_sample", "conv")
    return entries


def _ends(names: Names) -> list[Entry]:
    """What both halves have: the first convolution, the middle, the last norm and convolution."""
    entries = [
        *weight_and_bias("conv_in", "entry_conv", "conv"),
        *_block(names.middle[0], "middle/0", names, skip=False),
        *norm(names.middle_norm, "middle/norm"),
        *_block(names.middle[1], "middle/1", names, skip=False),
        *norm(names.head_norm, "head_norm"),
        *weight_and_bias("conv_out", "head_conv", "conv"),
    ]
    for torch, ours in zip(names.middle_attention, ("query", "key", "value", "out"), strict=True):
        entries += weight_and_bias(torch, f"middle/{ours}", names.middle_layout)
    return entries


def _block(torch: str, ours: str, names: Names, skip: bool) -> list[Entry]:
    return [
        *norm(f"{torch}.norm1", f"{ours}/norm_0"),
        *weight_and_bias(f"{torch}.conv1", f"{ours}/conv_0", "conv"),
        *norm(f"{torch}.norm2", f"{ours}/norm_1"),
        *weight_and_bias(f"{torch}.conv2", f"{ours}/conv_1", "conv"),
        *(weight_and_bias(f"{torch}.{names.shortcut}", f"{ours}/skip", "conv1x1") if skip else []),
    ]
