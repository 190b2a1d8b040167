"""CLIP's text tower: the names of OpenCLIP's checkpoints, and those of the transformers layout."""

from collections.abc import Collection, Iterable

from vcjax.models.clip import TextTower
from vcjax.weights.convert.rules import Entry, Ignored, norm, under, weight_and_bias

QKV = ("query", "key", "value")


def text_entries(tower: TextTower) -> list[Entry]:
    """Entries under OpenCLIP's names, where queries, keys and values are one tensor."""
    return [
        Entry("token_embedding.weight", ("tokens/embedding",)),
        Entry("positional_embedding", ("positions",)),
        *norm("ln_final", "norm"),
        *open_clip_layers(range(tower.layers)),
    ]


def transformers_entries(tower: TextTower, prefix: str = "text_model.") -> list[Entry]:
    """Entries under the names of transformers' CLIP; files of its version 5 on may have no prefix."""
    entries = [
        Entry("embeddings.token_embedding.weight", ("tokens/embedding",)),
        Entry("embeddings.position_embedding.weight", ("positions",)),
        *norm("final_layer_norm", "norm"),
        *transformers_layers(range(tower.layers)),
    ]
    return under(prefix, "", entries)


def open_clip_layers(layers: Iterable[int]) -> list[Entry]:
    """Entries of a tower's layers, text or image, under OpenCLIP's names."""
    entries = []
    for i in layers:
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


def transformers_layers(layers: Iterable[int]) -> list[Entry]:
    """Entries of a tower's layers, text or image, under the names of transformers' CLIP."""
    entries = []
    for i in layers:
        torch, ours = f"encoder.layers.{i}", f"layer_{i}"
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


def open_clip_rest(tower: TextTower) -> list[Entry]:
    """Entries of what no network here runs, under OpenCLIP's names: the layer behind the last, projection, scale.

    A model folder keeps it, so that the way back gives a whole file.
    """
    return [
        *open_clip_layers([tower.layers]),
        Entry("text_projection", ("projection/kernel",)),
        Entry("logit_scale", ("logit_scale",)),
    ]


def rest_entries(tower: TextTower, names: Collection[str]) -> list[Entry]:
    """The same, as far as a file of any layout has it."""
    layers = transformers_layers([tower.layers])
    candidates = [
        *open_clip_rest(tower),
        *layers,
        *under("text_model.", "", layers),
        Entry("text_projection.weight", ("projection/kernel",), "linear"),
    ]
    return [entry for entry in candidates if entry.torch in names]


IGNORED = (
    Ignored(
        r"attn_mask|((text_model|vision_model)\.)?embeddings\.position_ids", "constants that old files carry"
    ),
)
NO_IMAGE_TOWER = Ignored(r"(visual|vision_model|visual_projection)\..*", "a model without the image tower")
