"""Parameter name mappings of DPT-Large (MiDaS): the released checkpoint and the transformers layout."""

from collections.abc import Collection

from vcjax.models.dpt import DPT, STRIDES
from vcjax.weights.convert.rules import Entry, Ignored, norm, weight_and_bias

STAGES = range(len(STRIDES))
QKV = ("query", "key", "value")

IGNORED = (
    Ignored(
        r"dpt\.layernorm\..*",
        "final layer norm of transformers' ViT, which the depth prediction does not use",
    ),
)


def original_entries(dpt: DPT) -> list[Entry]:
    """Return the entries with the names of the released checkpoint, whose stages are numbered from 1."""
    entries = [
        *weight_and_bias("patch_embedding", "embedding/patches", "conv"),
        Entry("cls_embedding", ("embedding/class",), "vector"),
        Entry("pos_embedding", ("embedding/positions",), "rows"),
        *weight_and_bias("head.0", "head_0", "conv"),
        *weight_and_bias("head.2", "head_1", "conv"),
        *weight_and_bias("head.4", "head_2", "transposed1x1"),
    ]
    for i in range(dpt.layers):
        torch, flax = f"blocks.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.norm1", f"{flax}/norm_0"),
            Entry(f"{torch}.attn.to_qkv.weight", tuple(f"{flax}/{part}/kernel" for part in QKV), "linear"),
            Entry(f"{torch}.attn.to_qkv.bias", tuple(f"{flax}/{part}/bias" for part in QKV)),
            *weight_and_bias(f"{torch}.attn.proj", f"{flax}/out", "linear"),
            *norm(f"{torch}.norm2", f"{flax}/norm_1"),
            *weight_and_bias(f"{torch}.mlp.0", f"{flax}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.mlp.2", f"{flax}/hidden_1", "linear"),
        ]
    for stage in STAGES:
        convolutions, fusion = f"conv{stage + 1}", f"fusion{stage + 1}"
        last = 1 if STRIDES[stage] == dpt.patch_size else 2  # a stage without resizing has one layer fewer
        entries += [
            *weight_and_bias(f"fc{stage + 1}.0", f"readout_{stage}", "linear"),
            *weight_and_bias(f"{convolutions}.0", f"neck_{stage}", "conv1x1"),
            *_resize(dpt, f"{convolutions}.1", stage),
            Entry(f"{convolutions}.{last}.weight", (f"enter_{stage}/kernel",), "conv"),
            *weight_and_bias(f"{fusion}.conv_out", f"fusion_{stage}/out", "conv1x1"),
        ]
        for torch, flax in (("layer1", "skip"), ("layer2", "unit")):
            unit = f"fusion_{stage}/{flax}"
            entries += weight_and_bias(f"{fusion}.{torch}.residual.1", f"{unit}/conv_0", "conv")
            entries += weight_and_bias(f"{fusion}.{torch}.residual.3", f"{unit}/conv_1", "conv")
    return entries


def transformers_entries(dpt: DPT) -> list[Entry]:
    """Return the entries with the names of transformers' `DPTForDepthEstimation`.

    Its fusion layers are numbered from the lowest resolution.
    """
    entries = [
        *weight_and_bias("dpt.embeddings.patch_embeddings.projection", "embedding/patches", "conv"),
        Entry("dpt.embeddings.cls_token", ("embedding/class",), "vector"),
        Entry("dpt.embeddings.position_embeddings", ("embedding/positions",), "rows"),
        *weight_and_bias("head.head.0", "head_0", "conv"),
        *weight_and_bias("head.head.2", "head_1", "conv"),
        *weight_and_bias("head.head.4", "head_2", "conv1x1"),
    ]
    for i in range(dpt.layers):
        torch, flax = f"dpt.encoder.layer.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.layernorm_before", f"{flax}/norm_0"),
            *weight_and_bias(f"{torch}.attention.output.dense", f"{flax}/out", "linear"),
            *norm(f"{torch}.layernorm_after", f"{flax}/norm_1"),
            *weight_and_bias(f"{torch}.intermediate.dense", f"{flax}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.output.dense", f"{flax}/hidden_1", "linear"),
        ]
        for part in QKV:
            entries += weight_and_bias(f"{torch}.attention.attention.{part}", f"{flax}/{part}", "linear")
    for stage in STAGES:
        reassemble = "neck.reassemble_stage"
        fusion = f"neck.fusion_stage.layers.{STAGES[-1] - stage}"
        entries += [
            *weight_and_bias(f"{reassemble}.readout_projects.{stage}.0", f"readout_{stage}", "linear"),
            *weight_and_bias(f"{reassemble}.layers.{stage}.projection", f"neck_{stage}", "conv1x1"),
            *_resize(dpt, f"{reassemble}.layers.{stage}.resize", stage),
            Entry(f"neck.convs.{stage}.weight", (f"enter_{stage}/kernel",), "conv"),
            *weight_and_bias(f"{fusion}.projection", f"fusion_{stage}/out", "conv1x1"),
        ]
        for torch, flax in (("residual_layer1", "skip"), ("residual_layer2", "unit")):
            unit = f"fusion_{stage}/{flax}"
            entries += weight_and_bias(f"{fusion}.{torch}.convolution1", f"{unit}/conv_0", "conv")
            entries += weight_and_bias(f"{fusion}.{torch}.convolution2", f"{unit}/conv_1", "conv")
    return entries


def entries_for(dpt: DPT, names: Collection[str]) -> list[Entry]:
    """Return the entries for the checkpoint layout detected from the tensor names of a file."""
    if "dpt.embeddings.cls_token" in names:
        return transformers_entries(dpt)
    return original_entries(dpt)


def _resize(dpt: DPT, torch: str, stage: int) -> list[Entry]:
    """Return the entries of the layer that resizes the feature map of a stage; empty if there is none."""
    if STRIDES[stage] == dpt.patch_size:
        return []
    return weight_and_bias(
        torch, f"resize_{stage}", "transposed" if STRIDES[stage] < dpt.patch_size else "conv"
    )
