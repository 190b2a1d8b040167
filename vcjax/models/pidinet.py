"""Edge detection: PiDiNet (arXiv 2108.07009, model table5) with converted pixel difference convolutions.

A pixel difference convolution (PDC) is linear in differences of neighbouring pixels, and so equals a plain
convolution with another kernel; `vcjax.weights.convert.pidinet` converts the released kernels.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.models.layers import dense

# Mean and standard deviation of RGB values in [0, 1] over ImageNet, as in torchvision.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

# Kernel sizes of the blocks of each stage. Converted radial PDCs have size 5, all others 3.
KERNEL_SIZES = ((3, 5, 3), (3, 3, 5, 3), (3, 3, 5, 3), (3, 3, 5, 3))
CHANNEL_MULTIPLIERS = (1, 2, 4, 4)  # channels of the stages, in units of `base_channels`
DILATIONS = (5, 7, 9, 11)  # of the convolutions of a CDCM
ATTENTION_CHANNELS = 4  # hidden channels of a CSAM


class PiDiNet(nn.Module):
    """Edge detection network from images to the probability that a pixel is on an edge.

    ```python
    edges = pidinet.apply(params, (images - MEAN) / STD)    # images in [0, 1], [B, H, W, 3] -> [B, H, W, 1]
    ```

    Attributes:
        base_channels: channels of the first stage.
        dilation_channels: channels of the CDCMs.
        dtype: compute type.
    """

    base_channels: int = 60
    dilation_channels: int = 24
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 1"]:
        """Return the edge probabilities of images that are normalised with `MEAN` and `STD`, float32."""
        x = nn.Conv(self.base_channels, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="conv_in")(
            images.astype(self.dtype)
        )
        maps = []
        for stage, (multiple, kernels) in enumerate(zip(CHANNEL_MULTIPLIERS, KERNEL_SIZES, strict=True)):
            for i, kernel in enumerate(kernels):
                downsample = stage > 0 and i == 0
                block = PDCBlock(
                    self.base_channels * multiple, kernel, downsample, self.dtype, name=f"{stage}_{i}"
                )
                x = block(x)
            y = CDCM(self.dilation_channels, self.dtype, name=f"{stage}_dilated")(x)
            y = CSAM(self.dtype, name=f"{stage}_attention")(y)
            y = dense(1, self.dtype, f"{stage}_map")(y)
            maps.append(jax.image.resize(y, (*images.shape[:3], 1), "linear"))
        y = dense(1, self.dtype, "fuse")(jnp.concatenate(maps, -1))
        return nn.sigmoid(y.astype(jnp.float32))


class PDCBlock(nn.Module):
    """Depthwise convolution, ReLU and 1x1 convolution with a residual connection, pooled if `downsample`."""

    features: int
    kernel: int
    downsample: bool
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W D"]:
        """Map `C` to `features` channels."""
        if self.downsample:
            x = nn.max_pool(x, (2, 2), (2, 2))
        y = nn.relu(DepthwiseConv(self.kernel, self.dtype, name="depthwise")(x))
        y = dense(self.features, self.dtype, "pointwise", use_bias=False)(y)
        return y + (dense(self.features, self.dtype, "skip")(x) if self.downsample else x)


class DepthwiseConv(nn.Module):
    """Depthwise convolution as a sum of shifted inputs, which XLA fuses into one loop."""

    kernel: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Apply the layer; the shape is unchanged."""
        k, (_, height, width, channels) = self.kernel, x.shape
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (k, k, 1, channels), jnp.float32)
        kernel = kernel[:, :, 0].astype(self.dtype)
        padding = (k // 2, k // 2)
        x = jnp.pad(x, ((0, 0), padding, padding, (0, 0)))
        shifted = [
            x[:, row : row + height, column : column + width] * kernel[row, column]
            for row in range(k)
            for column in range(k)
        ]
        return sum(shifted[1:], shifted[0])


class CDCM(nn.Module):
    """Compact dilation convolution module: ReLU, 1x1 convolution, sum of four dilated 3x3 convolutions."""

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
        outputs = [convolution(x) for convolution in convolutions]
        return sum(outputs[1:], outputs[0])


class CSAM(nn.Module):
    """Compact spatial attention module: multiplies each pixel by a predicted weight in [0, 1]."""

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Apply the layer; the shape is unchanged."""
        y = dense(ATTENTION_CHANNELS, self.dtype, "enter")(nn.relu(x))
        y = nn.Conv(1, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name="weigh")(y)
        return x * nn.sigmoid(y)
