"""The sketch simplification network: the names of the released file."""

from vcjax.models.sketch_cleaner import DOUBLING, SketchCleaner
from vcjax.weights.convert.rules import Entry, weight_and_bias


def entries(cleaner: SketchCleaner) -> list[Entry]:
    """Entries of all layers; in the file every second one is an activation."""
    return [
        entry
        for i in range(len(cleaner.channels) + 1)
        for entry in weight_and_bias(
            f"layers.{2 * i}", f"layer_{i}", "transposed" if i in DOUBLING else "conv"
        )
    ]
