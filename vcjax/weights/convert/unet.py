"""Parameter name mappings of the released UNet checkpoint: the UNet, the STC-encoders and the style MLP.

The checkpoint spells "temporal" as `temopral`.
"""

from vcjax.models.unet import UNet
from vcjax.weights.convert.rules import Entry, Ignored, norm, weight_and_bias, with_prefixes

# Further tensors that the released file may contain: the original training code loads it with strict=False.
IGNORED = (
    Ignored(r"(canny|histogram)_embedding(_after)?\..*", "encoders of conditions that are not in the paper"),
    Ignored(r"fps_embedding\..*", "a frame rate embedding that the released configuration disables"),
)

# Module names of each map condition's STC-encoder: its convolutions and its temporal transformer.
ENCODERS = {
    "image": ("local_image_embedding", "local_image_embedding_after"),
    "single_sketch": ("single_sketch_embedding", "single_sketch_embedding_after"),
    "motion": ("motion_embedding", "motion_embedding_after"),
    "depth": ("depth_embedding", "depth_embedding_after"),
    "mask": ("masked_embedding", "mask_embedding_after"),
    "sketch": ("sketch_embedding", "sketch_embedding_after"),
}


def unet_entries(unet: UNet) -> list[Entry]:
    """Return the entries of a UNet of any size."""
    entries = [
        *weight_and_bias("time_embed.0", "time_0", "linear"),
        *weight_and_bias("time_embed.2", "time_1", "linear"),
        *weight_and_bias("input_blocks.0.0", "conv_in", "conv"),
        *with_prefixes("input_blocks.0.1.", "temporal_in/", transformer_entries("conv1")),
        *_middle(),
        *norm("out.0", "norm_out"),
        *weight_and_bias("out.2", "conv_out", "conv"),
    ]
    levels = range(len(unet.channel_multipliers))
    widths = [unet.base_channels * multiplier for multiplier in unet.channel_multipliers]

    x, index = unet.base_channels, 1
    skips = [x]
    for level in levels:
        for i in range(unet.num_res_blocks):
            skip = x != widths[level]
            entries += _block(
                f"input_blocks.{index}", f"down_{level}_{i}", skip, level in unet.attention_levels
            )
            x, index = widths[level], index + 1
            skips.append(x)
        if level < levels[-1]:
            entries += weight_and_bias(f"input_blocks.{index}.op", f"down_{level}_sample/conv", "conv")
            index += 1
            skips.append(x)

    index = 0
    for level in reversed(levels):
        attends = level in unet.attention_levels
        for i in range(unet.num_res_blocks + 1):
            skip = x + skips.pop() != widths[level]
            entries += _block(f"output_blocks.{index}", f"up_{level}_{i}", skip, attends)
            x, index = widths[level], index + 1
        if level > 0:
            last = f"output_blocks.{index - 1}.{3 if attends else 1}"
            entries += weight_and_bias(f"{last}.conv", f"up_{level}_sample/conv", "conv")
    return entries


def stc_entries(name: str) -> list[Entry]:
    """Return the entries of one map condition's STC-encoder.

    Args:
        name: name of the condition, a key of `ENCODERS`.
    """
    convolutions, after = ENCODERS[name]
    layers = f"{after}.layers.0"
    qkv = tuple(f"{name}/attention/{part}/kernel" for part in ("query", "key", "value"))
    return [
        *weight_and_bias(f"{convolutions}.0", f"{name}/conv_0", "conv"),
        *weight_and_bias(f"{convolutions}.3", f"{name}/conv_1", "conv"),
        *weight_and_bias(f"{convolutions}.5", f"{name}/conv_2", "conv"),
        *norm(f"{layers}.0.norm", f"{name}/norm"),
        Entry(f"{layers}.0.fn.to_qkv.weight", qkv, "linear"),
        *weight_and_bias(f"{layers}.0.fn.to_out.0", f"{name}/attention/out", "linear"),
        *weight_and_bias(f"{layers}.1.net.0.0", f"{name}/hidden", "linear"),
        *weight_and_bias(f"{layers}.1.net.2", f"{name}/out", "linear"),
    ]


def tokens_entries() -> list[Entry]:
    """Return the entries of the style MLP."""
    return [
        *weight_and_bias("pre_image_condition.0", "style_0", "linear"),
        *weight_and_bias("pre_image_condition.2", "style_1", "linear"),
    ]


def _middle() -> list[Entry]:
    return [
        *with_prefixes("middle_block.0.", "middle_0_residual/", _residual(skip=False)),
        *with_prefixes("middle_block.1.", "middle_spatial/", transformer_entries("linear")),
        *with_prefixes("middle_block.2.", "middle_temporal/", transformer_entries("conv1")),
        *with_prefixes("middle_block.3.", "middle_1_residual/", _residual(skip=False)),
    ]


def _block(torch: str, flax: str, skip: bool, attends: bool) -> list[Entry]:
    """Return the entries of a residual block, and of the two transformers at levels with attention."""
    entries = with_prefixes(f"{torch}.0.", f"{flax}_residual/", _residual(skip))
    if attends:
        entries += with_prefixes(f"{torch}.1.", f"{flax}_spatial/", transformer_entries("linear"))
        entries += with_prefixes(f"{torch}.2.", f"{flax}_temporal/", transformer_entries("conv1"))
    return entries


def residual_entries(skip: bool) -> list[Entry]:
    """Return the entries of a residual block without its temporal convolutions, as in the image UNet."""
    return [
        *norm("in_layers.0", "norm_0"),
        *weight_and_bias("in_layers.2", "conv_0", "conv"),
        *weight_and_bias("emb_layers.1", "time", "linear"),
        *norm("out_layers.0", "norm_1"),
        *weight_and_bias("out_layers.3", "conv_1", "conv"),
        *(weight_and_bias("skip_connection", "skip", "conv1x1") if skip else []),
    ]


def _residual(skip: bool) -> list[Entry]:
    entries = residual_entries(skip)
    for i in range(4):
        convolution = 2 if i == 0 else 3  # index of the convolution: dropout precedes it in all but the first
        entries += norm(f"temopral_conv.conv{i + 1}.0", f"temporal/norm_{i}")
        entries += weight_and_bias(
            f"temopral_conv.conv{i + 1}.{convolution}", f"temporal/conv_{i}", "temporal"
        )
    return entries


def transformer_entries(projection: str) -> list[Entry]:
    """Return the entries of a spatial or temporal transformer.

    Args:
        projection: layout of its input and output projections: "linear" (spatial) or "conv1" (temporal).
    """
    block = "transformer_blocks.0"
    entries = [
        *norm("norm", "norm"),
        *weight_and_bias("proj_in", "in", projection),
        *weight_and_bias("proj_out", "out", projection),
        *weight_and_bias(f"{block}.ff.net.0.proj", "layer/geglu/proj", "linear"),
        *weight_and_bias(f"{block}.ff.net.2", "layer/out", "linear"),
    ]
    for attention, name in (("attn1", "self"), ("attn2", "cross")):
        for letter, part in (("q", "query"), ("k", "key"), ("v", "value")):
            flax = (f"layer/{name}/{part}/kernel",)
            entries.append(Entry(f"{block}.{attention}.to_{letter}.weight", flax, "linear"))
        entries += weight_and_bias(f"{block}.{attention}.to_out.0", f"layer/{name}/out", "linear")
    for i in range(3):
        entries += norm(f"{block}.norm{i + 1}", f"layer/norm_{i}")
    return entries
