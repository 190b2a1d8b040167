"""Parameter name mappings of CLIP's text tower: OpenCLIP checkpoints and the transformers layout."""

from collections.abc import Collection, Iterable

from vcjax.models.clip import TextTower
from vcjax.weights.convert.rules import Entry, Ignored, norm, weight_and_bias, with_prefixes

QKV = ("query", "key", "value")


def text_entries(tower: TextTower) -> list[Entry]:
    """Return the entries with OpenCLIP's names, where queries, keys and values are fused in one tensor."""
    return [
        Entry("token_embedding.weight", ("tokens/embedding",)),
        Entry("positional_embedding", ("positions",)),
        *norm("ln_final", "norm"),
        *open_clip_layers(range(tower.layers)),
    ]


def transformers_entries(tower: TextTower, prefix: str = "text_model.") -> list[Entry]:
    """Return the entries with the names of transformers' CLIP; since version 5 there may be no prefix."""
    entries = [
        Entry("embeddings.token_embedding.weight", ("tokens/embedding",)),
        Entry("embeddings.position_embedding.weight", ("positions",)),
        *norm("final_layer_norm", "norm"),
        *transformers_layers(range(tower.layers)),
    ]
    return with_prefixes(prefix, "", entries)


def open_clip_layers(layers: Iterable[int]) -> list[Entry]:
    """Return the entries of layers of the text or image tower, with OpenCLIP's names."""
    entries = []
    for i in layers:
        torch, flax = f"transformer.resblocks.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.ln_1", f"{flax}/norm_0"),
            Entry(f"{torch}.attn.in_proj_weight", tuple(f"{flax}/{part}/kernel" for part in QKV), "linear"),
            Entry(f"{torch}.attn.in_proj_bias", tuple(f"{flax}/{part}/bias" for part in QKV)),
            *weight_and_bias(f"{torch}.attn.out_proj", f"{flax}/out", "linear"),
            *norm(f"{torch}.ln_2", f"{flax}/norm_1"),
            *weight_and_bias(f"{torch}.mlp.c_fc", f"{flax}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.mlp.c_proj", f"{flax}/hidden_1", "linear"),
        ]
    return entries


def transformers_layers(layers: Iterable[int]) -> list[Entry]:
    """Return the entries of layers of the text or image tower, with the names of transformers' CLIP."""
    entries = []
    for i in layers:
        torch, flax = f"encoder.layers.{i}", f"layer_{i}"
        entries += [
            *norm(f"{torch}.layer_norm1", f"{flax}/norm_0"),
            *norm(f"{torch}.layer_norm2", f"{flax}/norm_1"),
            *weight_and_bias(f"{torch}.self_attn.out_proj", f"{flax}/out", "linear"),
            *weight_and_bias(f"{torch}.mlp.fc1", f"{flax}/hidden_0", "linear"),
            *weight_and_bias(f"{torch}.mlp.fc2", f"{flax}/hidden_1", "linear"),
        ]
        for part in QKV:
            entries += weight_and_bias(f"{torch}.self_attn.{part[0]}_proj", f"{flax}/{part}", "linear")
    return entries


def entries_for(tower: TextTower, names: Collection[str]) -> list[Entry]:
    """Return the entries for the checkpoint layout detected from the tensor names of a file."""
    if "text_model.embeddings.token_embedding.weight" in names:
        return transformers_entries(tower)
    if "embeddings.token_embedding.weight" in names:
        return transformers_entries(tower, prefix="")
    return text_entries(tower)


def open_clip_rest(tower: TextTower) -> list[Entry]:
    """Return the entries of the text tower's unused parameters, with OpenCLIP's names.

    These are the final transformer layer (VideoComposer takes the output of the one before it), the text
    projection and the logit scale. A model folder keeps them so that `convert_back` can write a complete
    file.
    """
    return [
        *open_clip_layers([tower.layers]),
        Entry("text_projection", ("projection/kernel",)),
        Entry("logit_scale", ("logit_scale",)),
    ]


def rest_entries(tower: TextTower, names: Collection[str]) -> list[Entry]:
    """Return the entries of those unused parameters (see `open_clip_rest`) that a file contains."""
    layers = transformers_layers([tower.layers])
    candidates = [
        *open_clip_rest(tower),
        *layers,
        *with_prefixes("text_model.", "", layers),
        Entry("text_projection.weight", ("projection/kernel",), "linear"),
    ]
    return [entry for entry in candidates if entry.torch in names]


IGNORED = (
    Ignored(
        r"attn_mask|((text_model|vision_model)\.)?embeddings\.position_ids", "constants stored in old files"
    ),
)
NO_IMAGE_TOWER = Ignored(
    r"(visual|vision_model|visual_projection)\..*", "the image tower, which this model does not have"
)
