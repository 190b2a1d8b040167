"""Parameter name mapping of PiDiNet (table5), and folding of its pixel-difference convolutions.

A pixel-difference convolution applies its weights to differences of pixels (arXiv 2108.07009, section 3):

- central: each pixel of the 3x3 window minus the centre pixel;
- angular: each pixel on the border of the 3x3 window minus its neighbour on the border;
- radial: pixels on the border of a 5x5 window minus those on the border of the 3x3 window inside it.

Folding such a kernel into a plain kernel is linear but not injective. The following are lost: the centre weight of a central
kernel, the mean over the border (and the centre weight) of an angular kernel, and the first weight of a
radial kernel. `unfold` therefore does not restore the released weights: among all kernels that fold to the
same plain kernel, it returns the one with the lost components zero. The original code folds it to the same
network, up to rounding of the last bit.
"""

from collections.abc import Callable, Mapping

import numpy as np

from vcjax.models.pidinet import DILATIONS, KERNEL_SIZES
from vcjax.weights.convert.rules import Entry, weight_and_bias, with_prefixes

PREFIX = "module."
# Kinds of the convolutions, repeated along the network ("carv4" in the original's table of architectures).
KINDS = ("central", "angular", "radial", "plain")

CENTRE = 4  # centre pixel of 3x3, in row-major order
RING = np.array([0, 1, 2, 5, 8, 7, 6, 3])  # border pixels of 3x3, clockwise
OUTER = np.array([0, 2, 4, 10, 14, 20, 22, 24])  # of 5x5, in row-major order: every second border pixel
INNER = np.array(
    [6, 7, 8, 11, 13, 16, 17, 18]
)  # of 5x5: border of the inner 3x3, each between one of `OUTER` and the centre

Tensors = Mapping[str, np.ndarray]


def entries() -> list[Entry]:
    """Return the entries of the folded network, of any width."""
    mapping = [
        Entry("init_block.weight", ("conv_in/kernel",), "conv"),
        *weight_and_bias("classifier", "fuse", "conv1x1"),
    ]
    for stage, kernels in enumerate(KERNEL_SIZES):
        for i in range(len(kernels)):
            torch, flax = f"block{stage + 1}_{i + 1}", f"{stage}_{i}"
            mapping += [
                Entry(f"{torch}.conv1.weight", (f"{flax}/depthwise/kernel",), "conv"),
                Entry(f"{torch}.conv2.weight", (f"{flax}/pointwise/kernel",), "conv1x1"),
            ]
            if stage > 0 and i == 0:
                mapping += weight_and_bias(f"{torch}.shortcut", f"{flax}/skip", "conv1x1")
        mapping += [
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
    return with_prefixes(PREFIX, "", mapping)


def fold(tensors: Tensors) -> dict[str, np.ndarray]:
    """Replace pixel-difference kernels by the equivalent plain kernels; radial ones grow from 3x3 to 5x5."""
    return _map_kernels(tensors, FOLD)


def unfold(tensors: Tensors) -> dict[str, np.ndarray]:
    """Return pixel-difference kernels that `fold` converts to the given plain kernels, up to rounding."""
    return _map_kernels(tensors, UNFOLD)


def _map_kernels(
    tensors: Tensors, functions: Mapping[str, Callable[[np.ndarray], np.ndarray]]
) -> dict[str, np.ndarray]:
    """Apply a function on `[O, I, pixels]` to each pixel-difference kernel, by its kind."""
    mapped = dict(tensors)
    for name, kind in _kinds().items():
        # tensors of another rank are left for the shape check of `to_flax`
        if kind in functions and name in mapped and mapped[name].ndim == 4:
            kernel = mapped[name]
            flat = functions[kind](kernel.reshape(*kernel.shape[:2], -1))
            side = round(flat.shape[-1] ** 0.5)
            mapped[name] = flat.reshape(*kernel.shape[:2], side, side)
    return mapped


def _kinds() -> dict[str, str]:
    """Return the kind of each convolution by weight name, in execution order."""
    blocks = [
        f"block{stage + 1}_{i + 1}.conv1"
        for stage, kernels in enumerate(KERNEL_SIZES)
        for i in range(len(kernels))
    ]
    return {f"{PREFIX}{name}.weight": KINDS[i % len(KINDS)] for i, name in enumerate(["init_block", *blocks])}


def _fold_central(kernel: np.ndarray) -> np.ndarray:
    folded = kernel.copy()
    folded[..., CENTRE] -= kernel.sum(-1)
    return folded


def _unfold_central(kernel: np.ndarray) -> np.ndarray:
    unfolded = kernel.copy()
    unfolded[..., CENTRE] = 0
    return unfolded


def _fold_angular(kernel: np.ndarray) -> np.ndarray:
    """Fold an angular kernel; the neighbour of a pixel is the previous one, clockwise."""
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
    """Fold a radial kernel; the first of its nine weights is unused."""
    folded = np.zeros((*kernel.shape[:2], 25), kernel.dtype)
    folded[..., OUTER], folded[..., INNER] = kernel[..., 1:], -kernel[..., 1:]
    return folded


def _unfold_radial(kernel: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros_like(kernel[..., :1]), kernel[..., OUTER]], -1)


FOLD = {"central": _fold_central, "angular": _fold_angular, "radial": _fold_radial}
UNFOLD = {"central": _unfold_central, "angular": _unfold_angular, "radial": _unfold_radial}
