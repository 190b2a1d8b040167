"""Parameter name mapping of the sketch simplification network."""

from vcjax.models.sketch_cleaner import UPSAMPLING_LAYERS, SketchCleaner
from vcjax.weights.convert.rules import Entry, weight_and_bias


def entries(cleaner: SketchCleaner) -> list[Entry]:
    """Return the entries of all layers; in the checkpoint, every second module is an activation."""
    return [
        entry
        for i in range(len(cleaner.channels) + 1)
        for entry in weight_and_bias(
            f"layers.{2 * i}", f"layer_{i}", "transposed" if i in UPSAMPLING_LAYERS else "conv"
        )
    ]
