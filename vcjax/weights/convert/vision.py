"""Parameter name mappings of CLIP's image tower: OpenCLIP checkpoints and the transformers layout."""

from collections.abc import Collection

from vcjax.models.clip import ImageTower
from vcjax.weights.convert.rules import Entry, norm, with_prefixes
from vcjax.weights.convert.text import open_clip_layers, transformers_layers


def open_clip_entries(tower: ImageTower) -> list[Entry]:
    """Return the entries with OpenCLIP's names."""
    entries = [
        Entry("conv1.weight", ("embedding/patches/kernel",), "conv"),
        Entry("class_embedding", ("embedding/class",)),
        Entry("positional_embedding", ("embedding/positions",)),
        *norm("ln_pre", "norm_0"),
        *norm("ln_post", "norm_1"),
        Entry("proj", ("projection/kernel",)),
        *open_clip_layers(range(tower.layers)),
    ]
    return with_prefixes("visual.", "", entries)


def transformers_entries(tower: ImageTower) -> list[Entry]:
    """Return the entries with the names of transformers' CLIP, which spells one norm `pre_layrnorm`."""
    entries = [
        Entry("embeddings.patch_embedding.weight", ("embedding/patches/kernel",), "conv"),
        Entry("embeddings.class_embedding", ("embedding/class",)),
        Entry("embeddings.position_embedding.weight", ("embedding/positions",)),
        *norm("pre_layrnorm", "norm_0"),
        *norm("post_layernorm", "norm_1"),
        *transformers_layers(range(tower.layers)),
    ]
    projection = Entry("visual_projection.weight", ("projection/kernel",), "linear")
    return [*with_prefixes("vision_model.", "", entries), projection]


def entries_for(tower: ImageTower, names: Collection[str]) -> list[Entry]:
    """Return the entries for the checkpoint layout detected from the tensor names of a file."""
    if "vision_model.embeddings.class_embedding" in names:
        return transformers_entries(tower)
    return open_clip_entries(tower)
