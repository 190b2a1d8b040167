"""Sharding of activations on a device mesh.

Clips are sharded over frames in spatial layers and over pixels in temporal layers, with an all-to-all in
between.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from vcjax.errors import BadInput


@dataclasses.dataclass(frozen=True)
class Layout:
    """Sharding of a network's activations on a device mesh; without a mesh, all on one device.

    ```python
    unet = UNet(layout=Layout(mesh))
    ```

    Attributes:
        mesh: device mesh, see `vcjax.parallel.mesh`; None for a single device.
        batch_axes: mesh axes that the batch is sharded over.
        frame_axes: mesh axes that the frames of each clip are sharded over; single images are sharded over
            the axes of both.
    """

    mesh: Mesh | None = None
    batch_axes: tuple[str, ...] = ("data", "fsdp")
    frame_axes: tuple[str, ...] = ("frames",)

    @property
    def is_single_device(self) -> bool:
        """Whether there is only one device."""
        return self.mesh is None or self.mesh.size == 1

    @property
    def splits_clips(self) -> bool:
        """Whether the frames or the pixels of a clip are on several devices."""
        return not self.is_single_device and self._size(self.frame_axes) > 1

    def for_batch(self, batch: int, frames: int, *, allow_replication: bool = False) -> "Layout":
        """Return the layout for a batch of clips, or for single images, which are sharded over all axes.

        Args:
            batch: number of clips or images B.
            frames: number of frames F of each.
            allow_replication: replicate the batch over mesh axes that do not divide it.

        Raises:
            BadInput: a mesh axis does not divide the batch or the frames.
        """
        if self.is_single_device:
            return self
        choices = [
            (self.batch_axes, self.frame_axes) if frames > 1 else (self.batch_axes + self.frame_axes, ())
        ]
        if allow_replication:
            choices += [(self.batch_axes, choices[0][1]), ((), choices[0][1])]
        batch_axes, frame_axes = next((c for c in choices if batch % self._size(c[0]) == 0), choices[0])
        self._check_divisible("clips" if frames > 1 else "images", batch, batch_axes)
        self._check_divisible("frames", frames, frame_axes)
        return dataclasses.replace(self, batch_axes=batch_axes, frame_axes=frame_axes)

    def flatten_frames(self, x: Array) -> Array:
        """Flatten `[B, R, ...]`, sharded over both axes, to `[B * R, ...]`; each device flattens its shard.

        The order of the rows depends on the layout. Where it matters, as for random numbers, use the
        unflattened array.
        """
        return self._shard_map(_flatten, [self._clip_spec], self._row_spec)(x)

    def unflatten_frames(self, x: Array, batch: int) -> Array:
        """Invert `flatten_frames`."""
        batch //= 1 if self.is_single_device else self._size(self.batch_axes)
        return self._shard_map(
            lambda x: x.reshape(batch, -1, *x.shape[1:]), [self._row_spec], self._clip_spec
        )(x)

    def shard_frames(self, x: Array) -> Array:
        """Shard `[B, F, ...]` over batch and frames."""
        return self._constrain(x, self._clip_spec)

    def shard_pixels(self, x: Array) -> Array:
        """Reshard `[B, F, N, C]` from frames to pixels.

        Raises:
            BadInput: the mesh axes do not divide the number of pixels N.
        """
        if not self.is_single_device:
            self._check_divisible("pixels", x.shape[2], self.frame_axes)
        return self._constrain(self.shard_frames(x), PartitionSpec(self.batch_axes, None, self.frame_axes))

    def reshard_frames(self, x: Array) -> Array:
        """Reshard `[B, F, N, C]` from pixels to frames, the inverse of `shard_pixels`."""
        return self.shard_frames(self._constrain(x, PartitionSpec(self.batch_axes, None, self.frame_axes)))

    def gather_params(self, module: type[nn.Module]) -> Any:
        """Return a module class that gathers its sharded parameters (FSDP) before it computes.

        Otherwise the compiler may shard the channels of the activations instead.
        """
        if self.is_single_device:
            return module
        return nn.map_variables(module, "params", lambda tree: jax.tree.map(self.replicated, tree))

    def replicated(self, x: Array) -> Array:
        """Replicate an array over all devices."""
        return self._constrain(x, PartitionSpec())

    def local_attention(self, attend: Callable[..., Array], *, cross: bool) -> Callable[..., Array]:
        """Return an attention function in which each device computes its shard of the queries.

        Args:
            attend: function of queries, keys, values, and lengths of the keys or None.
            cross: True for keys and values `[B, M, ...]` that all queries of a clip, `[B, R * L, ...]`,
                attend to; False for self-attention within rows of `flatten_frames`.
        """
        queries, keys = (
            (self._clip_spec, PartitionSpec(self.batch_axes)) if cross else (self._row_spec, self._row_spec)
        )
        return self._shard_map(attend, [queries, keys, keys, keys], queries)

    def local(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function of rows or clips, and of replicated parameters, of which each device computes its rows.

        Arrays with as many axes as the first one are sharded over their first axis, others are replicated. For layouts
        that do not split clips.
        """
        if self.is_single_device:
            return function

        def call(*arrays: Array | None) -> Any:
            assert arrays[0] is not None
            rows = arrays[0].ndim
            specs = [self._row_spec if x is not None and x.ndim == rows else PartitionSpec() for x in arrays]
            return self._shard_map(function, specs, self._row_spec)(*arrays)

        return call

    def map_images(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Map a function of parameters (replicated) and rows of `flatten_frames` over devices."""
        return self._shard_map(function, [PartitionSpec(), self._row_spec], self._row_spec)

    def map_clips(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Map a function of parameters (replicated) and clips `[B, ...]` over devices."""
        return self._shard_map(
            function, [PartitionSpec(), PartitionSpec(self.batch_axes)], PartitionSpec(self.batch_axes)
        )

    @property
    def _clip_spec(self) -> PartitionSpec:
        """Partition spec of `[B, R, ...]`."""
        return PartitionSpec(self.batch_axes, self.frame_axes)

    @property
    def _row_spec(self) -> PartitionSpec:
        """Partition spec of `[B * R, ...]`."""
        return PartitionSpec(self.batch_axes + self.frame_axes)

    def _size(self, axes: tuple[str, ...]) -> int:
        """Return the number of devices along mesh axes."""
        assert self.mesh is not None
        return math.prod(self.mesh.shape[axis] for axis in axes)

    def _check_divisible(self, what: str, length: int, axes: tuple[str, ...]) -> None:
        devices = self._size(axes)
        if length % devices:
            raise BadInput(
                f"{length} {what} cannot be shared by {devices} devices along {' x '.join(axes)} of the "
                f"mesh: give a multiple of {devices}, or another mesh"
            )

    def _shard_map(self, function: Callable[..., Any], inputs: list[Any], output: Any) -> Callable[..., Any]:
        if self.is_single_device:
            return function
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=tuple(inputs), out_specs=output, check_vma=False
        )

    def _constrain(self, x: Array, spec: PartitionSpec) -> Array:
        if self.is_single_device:
            return x
        assert self.mesh is not None
        return lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))


SINGLE_DEVICE = Layout()


def _flatten(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])
