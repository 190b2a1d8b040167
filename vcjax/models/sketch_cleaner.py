"""Rough lines to clean ones: the sketch simplification network (Simo-Serra et al., SIGGRAPH 2016; arXiv 1703.08966)."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

from vcjax.errors import BadInput
from vcjax.models.layers import conv3x3

HALVING = (0, 3, 6)  # layers that halve height and width
DOUBLING = (14, 17, 20)  # and those that double them again
FACTOR = 2 ** len(HALVING)


class SketchCleaner(nn.Module):
    """Dark lines on a light ground, in [0, 1], to cleaner ones.

    ```python
    bright = 1 - cleaner.apply(params, 1 - bright)    # [B, H, W, 1]
    ```

    Attributes:
        channels: of each layer but the last, which has one.
        mean: of the pictures that it was trained on.
        deviation: of the same. (The values of sketch_simplification_gan.pth; the file does not hold them.)
        dtype: compute type.
    """

    channels: tuple[int, ...] = (
        *(48, 128, 128, 128, 256, 256, 256),
        *(512, 1024, 1024, 1024, 1024, 512, 256),
        *(256, 256, 128, 128, 128, 48, 48, 24),
    )
    mean: float = 0.9664114577640158
    deviation: float = 0.0858381272736797
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 1"]) -> Float[Array, "B H W 1"]:
        """Clean lines in [0, 1], float32.

        Raises:
            BadInput: sides that are no multiples of 8.
        """
        height, width = x.shape[1:3]
        if height % FACTOR or width % FACTOR:
            raise BadInput(
                f"the sketch cleaner takes sides that are multiples of {FACTOR}, not {height}x{width}"
            )
        x = ((x - self.mean) / self.deviation).astype(self.dtype)
        for i, features in enumerate(self.channels):
            x = nn.relu(self._layer(i, features)(x))
        x = conv3x3(1, self.dtype, f"layer_{len(self.channels)}")(x)
        return nn.sigmoid(x.astype(jnp.float32))

    def _layer(self, i: int, features: int) -> nn.Module:
        name = f"layer_{i}"
        if i == 0:
            return nn.Conv(features, (5, 5), strides=(2, 2), padding=2, dtype=self.dtype, name=name)
        if i in DOUBLING:
            return Doubling(features, self.dtype, name=name)
        return conv3x3(features, self.dtype, name, stride=2 if i in HALVING else 1)


class Doubling(nn.Module):
    """A transposed convolution of 4x4, stride 2 and padding 1, as a plain one for each of the four phases.

    Row `2 m + r` of the result is made of rows `m - 1` and `m` where r is 0, and of `m` and `m + 1` where it is 1.
    """

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        """Twice the size; the kernel's axes are height, width, inputs, outputs."""
        _, height, width, channels = x.shape
        kernel = self.param(
            "kernel", nn.initializers.lecun_normal(), (4, 4, channels, self.features), jnp.float32
        )
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        x = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        kernel = kernel[::-1, ::-1].astype(self.dtype)

        def phase(row: int, column: int) -> Array:
            return lax.conv_general_dilated(
                x[:, row : row + height + 1, column : column + width + 1],
                kernel[row::2, column::2],
                window_strides=(1, 1),
                padding="VALID",
                dimension_numbers=("NHWC", "HWIO", "NHWC"),
            )

        y = jnp.stack([phase(row, column) for row in (0, 1) for column in (0, 1)]) + bias.astype(self.dtype)
        return rearrange(y, "(r s) b h w c -> b (h r) (w s) c", r=2)
