"""Sketch simplification network (Simo-Serra et al., SIGGRAPH 2016; arXiv 1703.08966)."""

import flax.linen as nn
import jax.numpy as jnp
from einops import rearrange
from flax.typing import Dtype
from jax import lax
from jaxtyping import Array, Float

from vcjax.errors import BadInput
from vcjax.models.layers import conv3x3

DOWNSAMPLING_LAYERS = (0, 3, 6)  # layers with stride 2
UPSAMPLING_LAYERS = (14, 17, 20)  # layers that upsample by 2
DOWNSAMPLING = 2 ** len(DOWNSAMPLING_LAYERS)


class SketchCleaner(nn.Module):
    """Network from rough to clean sketches of dark lines on white, in [0, 1].

    ```python
    edges = 1 - cleaner.apply(params, 1 - edges)    # [B, H, W, 1], bright lines on black
    ```

    Attributes:
        channels: channels of all layers but the last, which has one.
        mean: mean of the training images. Mean and standard deviation are those of
            sketch_simplification_gan.pth, which does not contain them.
        std: standard deviation of the training images.
        dtype: compute type.
    """

    channels: tuple[int, ...] = (
        *(48, 128, 128, 128, 256, 256, 256),
        *(512, 1024, 1024, 1024, 1024, 512, 256),
        *(256, 256, 128, 128, 128, 48, 48, 24),
    )
    mean: float = 0.9664114577640158
    std: float = 0.0858381272736797
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "B H W 1"]) -> Float[Array, "B H W 1"]:
        """Return clean sketches in [0, 1], float32.

        Raises:
            BadInput: height or width is not a multiple of 8.
        """
        height, width = x.shape[1:3]
        if height % DOWNSAMPLING or width % DOWNSAMPLING:
            raise BadInput(
                f"the sketch cleaner takes sides that are multiples of {DOWNSAMPLING}, not {height}x{width}"
            )
        x = ((x - self.mean) / self.std).astype(self.dtype)
        for i, features in enumerate(self.channels):
            x = nn.relu(self._layer(i, features)(x))
        x = conv3x3(1, self.dtype, f"layer_{len(self.channels)}")(x)
        return nn.sigmoid(x.astype(jnp.float32))

    def _layer(self, i: int, features: int) -> nn.Module:
        name = f"layer_{i}"
        if i == 0:
            return nn.Conv(features, (5, 5), strides=(2, 2), padding=2, dtype=self.dtype, name=name)
        if i in UPSAMPLING_LAYERS:
            return ConvTranspose4x4(features, self.dtype, name=name)
        return conv3x3(features, self.dtype, name, stride=2 if i in DOWNSAMPLING_LAYERS else 1)


class ConvTranspose4x4(nn.Module):
    """Transposed convolution of kernel size 4, stride 2 and padding 1, computed as one convolution per phase.

    Row 2 m + r of the output depends on rows m - 1 and m of the input for r = 0, and on rows m and m + 1 for
    r = 1.
    """

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        """Upsample by 2; the axes of the kernel are height, width, input and output channels."""
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
