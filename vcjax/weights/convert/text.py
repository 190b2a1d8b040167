"""CLIP's text tower: the names of OpenCLIP's checkpoints, and those of the transformers layout."""

from collections.abc import Collection

from vcjax.models.clip import TextTower
from vcjax.weights.convert.rules import Entry, Ignored, norm, weight_and_bias

QKV = ("query", "key", "value")


def text_entries(tower: TextTower) -> list[Entry]:
    """Entries under OpenCLIP's names, where queries, keys and values are one tensor."""
    entries = [
        Entry("token_embedding.weight", ("tokens/embedding",)),
        Entry("positional_embedding", ("positions",)),
        *norm("ln_final", "norm"),
    ]
    for i in range(tower.layers):
        torch, ours = f"transformer.resblocks.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.ln_1", f"{ours}/norm_0"),
            Entry(f"{torch}.attn.in_proj_weight", tuple(f"{ours}/{part}/kernel" for part in QKV), "linear"),
            Entry(f"{torch}.attn.in_proj_bias", tuple(f"{ours}/{part}/bias" for part in QKV)),
            *weight_and_bias(f"{torch}.attn.out_proj", f"{ours}/out", "linear"),
            *norm(f"{torch}.ln_2", f"{ours}/norm_1"),
            *weight_and_bias(f"{torch}.mlp.c_fc", f"{ours}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.mlp.c_proj", f"{ours}/hidden_1", "linear"),
        ]
    return entries


def transformers_entries(tower: TextTower, prefix: str = "text_model.") -> list[Entry]:
    """Entries under the names of transformers' CLIP; files of its version 5 on may have no prefix."""
    embeddings = f"{prefix}embeddings"
    entries = [
        Entry(f"{embeddings}.token_embedding.weight", ("tokens/embedding",)),
        Entry(f"{embeddings}.position_embedding.weight", ("positions",)),
        *norm(f"{prefix}final_layer_norm", "norm"),
    ]
    for i in range(tower.layers):
        torch, ours = f"{prefix}encoder.layers.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.layer_norm1", f"{ours}/norm_0"),
            *norm(f"{torch}.layer_norm2", f"{ours}/norm_1"),
            *weight_and_bias(f"{torch}.self_attn.out_proj", f"{ours}/out", "linear"),
            *weight_and_bias(f"{torch}.mlp.fc1", f"{ours}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.mlp.fc2", f"{ours}/hidden_1", "linear"),
        ]
        for part in QKV:
            entries += weight_and_bias(f"{torch}.self_attn.{part[0]}_proj", f"{ours}/{part}", "linear")
    return entries


def entries_for(tower: TextTower, names: Collection[str]) -> list[Entry]:
    """Entries in the layout that a file's names speak of."""
    if "text_model.embeddings.token_embedding.weight" in names:
        return transformers_entries(tower)
    if "embeddings.token_embedding.weight" in names:
        return transformers_entries(tower, prefix="")
    return text_entries(tower)


def ignored_for(tower: TextTower) -> tuple[Ignored, ...]:
    """What a file of the whole CLIP model may hold beyond the tower."""
    last = tower.layers  # the layer behind the last one that is used
    return (
        Ignored(r"(visual|vision_model|visual_projection)\..*", "the image tower"),
        Ignored(
            r"text_projection(\.weight)?|logit_scale", "only the comparison of texts with images needs them"
        ),
        Ignored(
            rf"(transformer\.resblocks|(text_model\.)?encoder\.layers)\.{last}\..*",
            "the released model takes the states before the last layer",
        ),
        Ignored(r"attn_mask|(text_model\.)?embeddings\.position_ids", "constants that old files carry"),
    )
