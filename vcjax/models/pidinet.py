"""Lines of a picture: PiDiNet (arXiv 2108.07009; released: table5), its pixel-difference convolutions made plain ones.

A pixel-difference convolution weighs differences of neighbouring pixels. Since it is linear, it is a plain convolution
with another kernel; `vcjax.weights.convert.pidinet` folds the released kernels into those.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.models.layers import dense

# Of red, green and blue in [0, 1] over ImageNet, as torchvision has them.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)

# Sides of the blocks' kernels, stage by stage. Differences across two rings (radial) need five pixels.
KERNELS = ((3, 5, 3), (3, 3, 5, 3), (3, 3, 5, 3), (3, 3, 5, 3))
WIDTHS = (1, 2, 4, 4)  # of the stages, in units of the network's width
DILATIONS = (5, 7, 9, 11)
ATTENTION = 4  # channels within the attention


class PiDiNet(nn.Module):
    """Pictures to the probability that each pixel lies on a line.

    ```python
    lines = pidinet.apply(params, (images - MEAN) / DEVIATION)    # images in [0, 1], [B, H, W, 3] -> [B, H, W, 1]
    ```

    Attributes:
        width: channels of the first stage.
        dilated: channels of the dilated convolutions.
        dtype: compute type.
    """

    width: int = 60
    dilated: int = 24
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 1"]:
        """Probabilities, float32, of pictures normalised with `MEAN` and `DEVIATION`."""
        x = nn.Conv(self.width, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="entry")(
            images.astype(self.dtype)
        )
        maps = []
        for stage, (multiple, kernels) in enumerate(zip(WIDTHS, KERNELS, strict=True)):
            for i, kernel in enumerate(kernels):
                halve = stage > 0 and i == 0
                block = Block(self.width * multiple, kernel, halve, self.dtype, name=f"{stage}_{i}")
                x = block(x)
            y = Dilated(self.dilated, self.dtype, name=f"{stage}_dilated")(x)
            y = SpatialAttention(self.dtype, name=f"{stage}_attention")(y)
            y = dense(1, self.dtype, f"{stage}_map")(y)
            maps.append(jax.image.resize(y, (*images.shape[:3], 1), "linear"))
        y = dense(1, self.dtype, "fuse")(jnp.concatenate(maps, -1))
        return nn.sigmoid(y.astype(jnp.float32))


class Block(nn.Module):
    """A depthwise convolution, ReLU and a 1x1 convolution, with a residual; `halve` pools first."""

    features: int
    kernel: int
    halve: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        """Map `C` to `features` channels."""
        if self.halve:
            x = nn.max_pool(x, (2, 2), (2, 2))
        y = nn.relu(Depthwise(self.kernel, self.dtype, name="depthwise")(x))
        y = dense(self.features, self.dtype, "pointwise", use_bias=False)(y)
        return y + (dense(self.features, self.dtype, "skip")(x) if self.halve else x)


class Depthwise(nn.Module):
    """A convolution of each channel by itself, as a sum of shifted pictures, which XLA makes one loop of."""

    kernel: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Keep the shape."""
        k, (_, height, width, channels) = self.kernel, x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (k, k, 1, channels), jnp.float32)
        kernel = kernel[:, :, 0].astype(self.dtype)
        around = (k // 2, k // 2)
        x = jnp.pad(x, ((0, 0), around, around, (0, 0)))
        shifted = [
            x[:, row : row + height, column : column + width] * kernel[row, column]
            for row in range(k)
            for column in range(k)
        ]
        return sum(shifted[1:], shifted[0])


class Dilated(nn.Module):
    """ReLU, a 1x1 convolution, and the sum of four 3x3 convolutions of growing dilation."""

    features: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w D"]:
        """Map `C` to `features` channels."""
        x = dense(self.features, self.dtype, "enter")(nn.relu(x))
        convolutions = [
            nn.Conv(
                self.features,
                (3, 3),
                padding=dilation,
                kernel_dilation=dilation,
                use_bias=False,
                dtype=self.dtype,
                name=f"conv_{i}",
            )
            for i, dilation in enumerate(DILATIONS)
        ]
        parts = [convolution(x) for convolution in convolutions]
        return sum(parts[1:], parts[0])


class SpatialAttention(nn.Module):
    """Each pixel weighed by what its neighbourhood says of it."""

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Keep the shape."""
        y = dense(ATTENTION, self.dtype, "enter")(nn.relu(x))
        y = nn.Conv(1, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="weigh")(y)
        return x * nn.sigmoid(y)
