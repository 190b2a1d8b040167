"""PiDiNet (table5): its names, and its pixel-difference convolutions folded into plain ones and unfolded again.

Each such convolution weighs differences of pixels within 3x3 (arXiv 2108.07009, section 3):

- central: each pixel minus the middle one;
- angular: each pixel minus its neighbour along the ring;
- radial: pixels of the ring of 5x5 minus those of the ring of 3x3.

Folding is linear but loses what differences cannot see: a central kernel's middle, an angular kernel's mean over the
ring (and its middle), a radial kernel's first number. So the way back gives not the file's own numbers but the ones
among all that fold to the same plain kernels whose lost part is zero: the original folds them to the same network, up
to rounding of the last bit.
"""

from collections.abc import Callable, Mapping

import numpy as np

from vcjax.models.pidinet import DILATIONS, KERNELS
from vcjax.weights.convert.rules import Entry, under, weight_and_bias

PREFIX = "module."
# Kinds of the convolutions, repeating along the network ("carv4" in the original's table of architectures).
KINDS = ("central", "angular", "radial", "plain")

MIDDLE = 4  # of 3x3, counted row by row
RING = np.array([0, 1, 2, 5, 8, 7, 6, 3])  # the others, clockwise
OUTER = np.array([0, 2, 4, 10, 14, 20, 22, 24])  # of 5x5, counted row by row: every second pixel of its ring
INNER = np.array(
    [6, 7, 8, 11, 13, 16, 17, 18]
)  # the ring of 3x3 within, each between one of those and the middle

Tensors = Mapping[str, np.ndarray]


def entries() -> list[Entry]:
    """Entries of the folded network, whatever its width."""
    found = [
        Entry("init_block.weight", ("entry/kernel",), "conv"),
        *weight_and_bias("classifier", "fuse", "conv1x1"),
    ]
    for stage, kernels in enumerate(KERNELS):
        for i in range(len(kernels)):
            torch, ours = f"block{stage + 1}_{i + 1}", f"{stage}_{i}"
            found += [
                Entry(f"{torch}.conv1.weight", (f"{ours}/depthwise/kernel",), "conv"),
                Entry(f"{torch}.conv2.weight", (f"{ours}/pointwise/kernel",), "conv1x1"),
            ]
            if stage > 0 and i == 0:
                found += weight_and_bias(f"{torch}.shortcut", f"{ours}/skip", "conv1x1")
        found += [
            *weight_and_bias(f"dilations.{stage}.conv1", f"{stage}_dilated/enter", "conv1x1"),
            *(
                Entry(
                    f"dilations.{stage}.conv2_{i + 1}.weight", (f"{stage}_dilated/conv_{i}/kernel",), "conv"
                )
                for i in range(len(DILATIONS))
            ),
            *weight_and_bias(f"attentions.{stage}.conv1", f"{stage}_attention/enter", "conv1x1"),
            Entry(f"attentions.{stage}.conv2.weight", (f"{stage}_attention/weigh/kernel",), "conv"),
            *weight_and_bias(f"conv_reduces.{stage}.conv", f"{stage}_map", "conv1x1"),
        ]
    return under(PREFIX, "", found)


def fold(tensors: Tensors) -> dict[str, np.ndarray]:
    """The file's tensors with plain kernels in place of those of pixel differences; 3x3 become 5x5 where radial."""
    return _each(tensors, FOLD)


def unfold(tensors: Tensors) -> dict[str, np.ndarray]:
    """Tensors that `fold`, and the original's own program, make these of, up to rounding."""
    return _each(tensors, UNFOLD)


def _each(
    tensors: Tensors, actions: Mapping[str, Callable[[np.ndarray], np.ndarray]]
) -> dict[str, np.ndarray]:
    """The tensors, those of pixel differences put through their kind's action on `[O, I, pixels]`."""
    found = dict(tensors)
    for name, kind in _kinds().items():
        # what is not a kernel is left to the check of shapes
        if kind in actions and name in found and found[name].ndim == 4:
            kernel = found[name]
            flat = actions[kind](kernel.reshape(*kernel.shape[:2], -1))
            side = round(flat.shape[-1] ** 0.5)
            found[name] = flat.reshape(*kernel.shape[:2], side, side)
    return found


def _kinds() -> dict[str, str]:
    """The kind of each convolution, in the order in which they run."""
    blocks = [
        f"block{stage + 1}_{i + 1}.conv1"
        for stage, kernels in enumerate(KERNELS)
        for i in range(len(kernels))
    ]
    return {f"{PREFIX}{name}.weight": KINDS[i % len(KINDS)] for i, name in enumerate(["init_block", *blocks])}


def _fold_central(kernel: np.ndarray) -> np.ndarray:
    folded = kernel.copy()
    folded[..., MIDDLE] -= kernel.sum(-1)
    return folded


def _unfold_central(kernel: np.ndarray) -> np.ndarray:
    unfolded = kernel.copy()
    unfolded[..., MIDDLE] = 0
    return unfolded


def _fold_angular(kernel: np.ndarray) -> np.ndarray:
    """The neighbour of a pixel is the one before it, clockwise."""
    folded = np.zeros_like(kernel)
    ring = kernel[..., RING]
    folded[..., RING] = ring - np.roll(ring, 1, -1)
    return folded


def _unfold_angular(kernel: np.ndarray) -> np.ndarray:
    unfolded = np.zeros_like(kernel)
    ring = np.cumsum(kernel[..., RING], -1, dtype=np.float64)
    unfolded[..., RING] = ring - ring.mean(-1, keepdims=True)
    return unfolded


def _fold_radial(kernel: np.ndarray) -> np.ndarray:
    """The first of the nine numbers has no pixels."""
    folded = np.zeros((*kernel.shape[:2], 25), kernel.dtype)
    folded[..., OUTER], folded[..., INNER] = kernel[..., 1:], -kernel[..., 1:]
    return folded


def _unfold_radial(kernel: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(kernel[..., :1]), kernel[..., OUTER]], -1)


FOLD = {"central": _fold_central, "angular": _fold_angular, "radial": _fold_radial}
UNFOLD = {"central": _unfold_central, "angular": _unfold_angular, "radial": _unfold_radial}
