"""Where the parts of a batch lie when a mesh of devices computes it: each clip split over its frames where a layer looks within
a frame, and over its pixels where it looks along time, with a hand-over between them."""

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
    """How a network's activations lie on a mesh. Without a mesh everything lies on one device, and nothing is asked for.

    ```python
    unet = UNet(layout=Layout(mesh))
    ```

    Attributes:
        mesh: the devices (see `vcjax.parallel.mesh`), or none.
        clips: axes of the mesh that a batch is split over.
        frames: axes that each clip is split over. A batch of single images lies over the axes of clips and frames alike.
    """

    mesh: Mesh | None = None
    clips: tuple[str, ...] = ("data", "fsdp")
    frames: tuple[str, ...] = ("frames",)

    @property
    def alone(self) -> bool:
        """Whether there is one device."""
        return self.mesh is None or self.mesh.size == 1

    def suited(self, batch: int, frames: int, *, few: bool = False) -> "Layout":
        """The layout for a batch of clips of so many frames; one of single images is split over all axes.

        Args:
            batch: how many clips or images.
            frames: of each.
            few: a clip that is alone, and stills too few for all axes, may be whole on the devices of an axis.

        Raises:
            BadInput: the devices cannot share them equally; each would compute the whole.
        """
        if self.alone:
            return self
        choices = [(self.clips, self.frames) if frames > 1 else (self.clips + self.frames, ())]
        if few:
            choices += [(self.clips, choices[0][1]), ((), choices[0][1])]
        clips, along = next((c for c in choices if batch % self._size(c[0]) == 0), choices[0])
        self._check("clips" if frames > 1 else "images", batch, clips)
        self._check("frames", frames, along)
        return dataclasses.replace(self, clips=clips, frames=along)

    def merged(self, x: Array) -> Array:
        """`[B, R, ...]`, split over both axes, to `[B * R, ...]`: every device merges what it has.

        So the order of the rows is the layout's own; where it matters, as for random numbers, use `[B, R, ...]`.
        """
        return self._local(_merged, [self._pair], self._rows)(x)

    def apart(self, x: Array, batch: int) -> Array:
        """The inverse of `merged`."""
        batch //= 1 if self.alone else self._size(self.clips)
        return self._local(lambda x: x.reshape(batch, -1, *x.shape[1:]), [self._rows], self._pair)(x)

    def by_frames(self, x: Array) -> Array:
        """`[B, F, ...]`, each clip split over its frames."""
        return self._constrained(x, self._pair)

    def by_pixels(self, x: Array) -> Array:
        """`[B, F, N, C]`, handed over from each clip split over its frames to split over its pixels.

        Raises:
            BadInput: the devices cannot share the pixels equally.
        """
        if not self.alone:
            self._check("pixels", x.shape[2], self.frames)
        return self._constrained(self.by_frames(x), PartitionSpec(self.clips, None, self.frames))

    def back_to_frames(self, x: Array) -> Array:
        """`[B, F, N, C]`, handed over the other way."""
        return self.by_frames(self._constrained(x, PartitionSpec(self.clips, None, self.frames)))

    def gathering(self, module: type[nn.Module]) -> Any:
        """A kind of module that has its parameters whole while it computes, however they are split between its calls.

        Without it the compiler may split the features of its activations instead.
        """
        if self.alone:
            return module
        return nn.map_variables(module, "params", lambda tree: jax.tree.map(self.whole, tree))

    def whole(self, x: Array) -> Array:
        """An array on every device."""
        return self._constrained(x, PartitionSpec())

    def attending(self, attend: Callable[..., Array], *, across: bool) -> Callable[..., Array]:
        """Attention in which every device sees to its own rows.

        Args:
            attend: a function of queries, keys, values and a mask or None.
            across: keys and values `[B, M, ...]` are seen by all of their clip's queries `[B, R * L, ...]`; else all three
                are rows of `merged`, and each looks at itself.
        """
        queries, keys = (self._pair, PartitionSpec(self.clips)) if across else (self._rows, self._rows)
        return self._local(attend, [queries, keys, keys, keys], queries)

    def each_image(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of (parameters, rows of `merged`) in which every device takes its own rows and all parameters."""
        return self._local(function, [PartitionSpec(), self._rows], self._rows)

    def each_clip(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A function of (parameters, `[B, ...]`) in which every device takes its own clips and all parameters."""
        return self._local(function, [PartitionSpec(), PartitionSpec(self.clips)], PartitionSpec(self.clips))

    @property
    def _pair(self) -> PartitionSpec:
        """Of `[B, R, ...]`."""
        return PartitionSpec(self.clips, self.frames)

    @property
    def _rows(self) -> PartitionSpec:
        """Of `[B * R, ...]`."""
        return PartitionSpec(self.clips + self.frames)

    def _size(self, axes: tuple[str, ...]) -> int:
        assert self.mesh is not None
        return math.prod(self.mesh.shape[axis] for axis in axes)

    def _check(self, what: str, length: int, axes: tuple[str, ...]) -> None:
        parts = self._size(axes)
        if length % parts:
            raise BadInput(
                f"{length} {what} cannot be shared by {parts} devices along {' x '.join(axes)} of the mesh: "
                "give a number that they divide, or another mesh"
            )

    def _local(self, function: Callable[..., Any], inputs: list[Any], output: Any) -> Callable[..., Any]:
        if self.alone:
            return function
        return jax.shard_map(
            function, mesh=self.mesh, in_specs=tuple(inputs), out_specs=output, check_vma=False
        )

    def _constrained(self, x: Array, spec: PartitionSpec) -> Array:
        if self.alone:
            return x
        assert self.mesh is not None
        return lax.with_sharding_constraint(x, NamedSharding(self.mesh, spec))


ALONE = Layout()  # on one device


def _merged(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])
