"""Windows: latents larger than a network was trained for are denoised piece by piece, and the predictions merged.

The pieces overlap in time (arXiv 2310.15169) and in space (MultiDiffusion, arXiv 2302.08113). The merged prediction of an
element is the weighted mean of the predictions of all windows that contain it, so that the sampler sees one latent.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import lax
from jaxtyping import Array, Float, Int

WindowWeights = Literal["pyramid", "flat"]
WEIGHTS: tuple[WindowWeights, ...] = ("pyramid", "flat")


@dataclasses.dataclass(frozen=True)
class Tiling:
    """Windows of one size that cover latents `[B, N, H, W, c]`.

    Attributes:
        length: N, H and W.
        size: number of frames, rows and columns of a window.
        overlap: share of a window that the next one contains too, from 0 to below 1.
        weights: weights of a window's predictions: `pyramid` falls linearly to its borders, `flat` is constant.
        offsets: number of placements of the windows. From step to step their starts move by 1 / offsets of their
            distance, so that no border stays in its place.
        loop: whether the first frame follows the last one.
    """

    length: tuple[int, int, int]
    size: tuple[int, int, int]
    overlap: float = 0.5
    weights: WindowWeights = "pyramid"
    offsets: int = 1
    loop: bool = False

    @property
    def whole(self) -> bool:
        """Whether one window contains everything, so that nothing is merged."""
        return self.length == self.size and not self.loop

    def stride(self, axis: int) -> int:
        """Return the distance of windows along an axis."""
        return max(1, round(self.size[axis] * (1 - self.overlap)))

    def starts(self, axis: int, offset: int) -> Int[np.ndarray, "W"]:
        """Return where windows start along an axis, in a placement."""
        length, size = self.length[axis], self.size[axis]
        circular = self.loop and axis == 0
        if length == size and not circular:
            return np.zeros(1, np.int32)
        stride = self.stride(axis)
        shift = offset * stride // self.offsets
        if circular:
            return ((np.arange(-(-length // stride)) * stride + shift) % length).astype(np.int32)
        count = -(-(length - size) // stride) + (1 if self.offsets == 1 else 2)
        return np.clip(np.arange(count) * stride - shift, 0, length - size).astype(np.int32)

    def profile(self, axis: int) -> Float[np.ndarray, "n"]:
        """Return the weights of a window's predictions along an axis."""
        size = self.size[axis]
        if self.weights == "flat" or (size == self.length[axis] and not (self.loop and axis == 0)):
            return np.ones(size, np.float32)
        return (np.minimum(np.arange(1, size + 1), np.arange(size, 0, -1)) * 2 / (size + 1)).astype(
            np.float32
        )

    def coverage(self, axis: int, offset: int) -> Float[np.ndarray, "L"]:
        """Return the sum of the weights of all windows along an axis; windows that coincide count once."""
        total, profile = np.zeros(self.length[axis], np.float32), self.profile(axis)
        for start in np.unique(self.starts(axis, offset)):
            np.add.at(total, (start + np.arange(len(profile))) % len(total), profile)
        return total

    def clips(self) -> tuple[int, ...]:
        """Return the first frame of each window in time, over all placements."""
        starts = np.concatenate([self.starts(0, offset) for offset in range(self.offsets)])
        return tuple(np.unique(starts).tolist())

    def table(self, group: int) -> "Windows":
        """Return the windows of every placement, in groups of which each is one call of the network."""
        clips = self.clips()
        placements = []
        for offset in range(self.offsets):
            axes = [np.unique(self.starts(axis, offset)) for axis in range(3)]
            placements.append(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3))
        count = -(-max(map(len, placements)) // group) * group
        # Windows of weight 0 make placements equally long.
        start = np.stack([np.pad(p, ((0, count - len(p)), (0, 0)), mode="edge") for p in placements])
        weight = np.stack([np.arange(count) < len(p) for p in placements]).astype(np.float32)
        return Windows(
            start=start.reshape(self.offsets, -1, group, 3),
            clip=np.searchsorted(clips, start[..., 0]).astype(np.int32).reshape(self.offsets, -1, group),
            weight=weight.reshape(self.offsets, -1, group),
            coverage=tuple(
                np.stack([self.coverage(axis, offset) for offset in range(self.offsets)]) for axis in range(3)
            ),
        )


@struct.dataclass
class Windows:
    """Windows of O placements, in K groups of n.

    Attributes:
        start: first frame, row and column, int32 `[O, K, n, 3]`.
        clip: index of the window's first frame in `Tiling.clips`, int32 `[O, K, n]`.
        weight: 1, or 0 for a window that is there to complete a group, `[O, K, n]`.
        coverage: see `Tiling.coverage`, `[O, L]` of each axis.
    """

    start: Int[Array, "O K n 3"] | np.ndarray
    clip: Int[Array, "O K n"] | np.ndarray
    weight: Float[Array, "O K n"] | np.ndarray
    coverage: tuple[Any, ...]


def cut(x: Float[Array, "... N H W c"], start: Int[Array, "3"], size: tuple[int, int, int]) -> Array:
    """Return a window of an array whose last axes are frames, rows, columns and channels."""
    lead = x.ndim - 4
    return lax.dynamic_slice(x, (*(0,) * lead, *start, 0), (*x.shape[:lead], *size, x.shape[-1]))


def merge(
    predict: Callable[[Array, Array, Array], Array],
    z: Float[Array, "B N H W c"],
    windows: Windows,
    placement: Int[Array, ""],
    tiling: Tiling,
    branches: int,
) -> Float[Array, "GB N H W c"]:
    """Return the predictions of a network for a latent of any size, merged from those of its windows.

    Windows are processed group by group, so that memory depends on the size of a group and not on the number of windows.

    Args:
        predict: function from the windows of a group, `[n, B, f, h, w, c]`, the indices of their clips, `[n]`, and their
            starts `[n, 3]`, to predictions `[n, G B, f, h, w, c]`.
        z: latents.
        windows: see `Tiling.table`.
        placement: which of the placements.
        tiling: what the table was made from.
        branches: G.
    """
    frames, size = tiling.length[0], tiling.size
    extra = size[0] if tiling.loop else 0  # frames after the last are the first ones again
    padded = jnp.concatenate([z, z[:, :extra]], 1) if extra else z
    profile = jnp.ones((), z.dtype)
    for axis in range(3):
        profile = profile[..., None] * jnp.asarray(tiling.profile(axis))
    start, clip, weight = (
        x[placement] for x in map(jnp.asarray, (windows.start, windows.clip, windows.weight))
    )

    def add_group(number: Array, total: Array) -> Array:
        starts = start[number]
        pieces = jnp.stack([cut(padded, starts[i], size) for i in range(starts.shape[0])])
        out = predict(pieces, clip[number], starts)
        for i in range(starts.shape[0]):
            before = cut(total, starts[i], size)
            after = before + (weight[number, i] * profile)[..., None] * out[i]
            total = lax.dynamic_update_slice(total, after, (0, *starts[i], 0))
        return total

    total = jnp.zeros((branches * z.shape[0], frames + extra, *z.shape[2:]), z.dtype)
    total = lax.fori_loop(0, start.shape[0], add_group, total)
    if extra:
        total = total[:, :frames].at[:, :extra].add(total[:, frames:])
    f, h, w = (jnp.asarray(x)[placement] for x in windows.coverage)
    return total / (f[:, None, None] * h[:, None] * w)[..., None]


def repeated_noise(seed: int, length: int, size: int, stride: int) -> Int[np.ndarray, "N"]:
    """Return which of the first `size` frames' noise each frame has: each block of `stride` repeats an earlier one, shuffled.

    Windows that start from the same noise agree on what they show (FreeNoise, arXiv 2310.15169, section 3.2).
    """
    rng = np.random.default_rng(seed)
    index = np.arange(length)
    for first in range(size, length, stride):
        block = index[first - size : first - size + stride]
        index[first : first + stride] = rng.permutation(block)[: length - first]
    return index
