"""Monocular depth estimation: the dense prediction transformer DPT-Large of MiDaS v3 (arXiv 2103.13413)."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.errors import BadInput
from vcjax.kernels.geglu import gelu
from vcjax.models.layers import conv3x3, dense
from vcjax.models.vit import PatchEmbedding, TransformerBlock

HEAD_CHANNELS = 32  # channels before the last convolution
STRIDES = (4, 8, 16, 32)  # strides of the feature maps in pixels, finest first


class DPT(nn.Module):
    """Dense prediction transformer from images to inverse depth.

    Features of four stages of a vision transformer are fused from the coarsest to the finest.

    ```python
    depth = dpt.apply(params, 2 * images - 1)    # images in [0, 1]; [B, 384, 384, 3] -> [B, 384, 384, 1]
    ```

    Attributes:
        image_size: side in pixels of the training images; for other sizes position embeddings are
            interpolated.
        patch_size: side of a patch in pixels: 4, 8, 16 or 32.
        width: channels of a token.
        layers: transformer layers, a multiple of four; features are taken after every quarter of them.
        heads: attention heads.
        neck_channels: channels of the feature maps, finest first.
        fusion_channels: channels of the fusion blocks.
        dtype: compute type.
    """

    image_size: int = 384
    patch_size: int = 16
    width: int = 1024
    layers: int = 24
    heads: int = 16
    neck_channels: tuple[int, ...] = (256, 512, 1024, 1024)
    fusion_channels: int = 256
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 1"]:
        """Return the inverse depth, at least 0 and larger for nearer points, float32.

        Args:
            images: images in [-1, 1]; height and width are multiples of 32.

        Raises:
            BadInput: height or width is not a multiple of 32, or the patch size is not supported.
        """
        height, width = images.shape[1:3]
        if height % STRIDES[-1] or width % STRIDES[-1]:
            raise BadInput(
                f"the depth network takes sides that are multiples of {STRIDES[-1]}, not {height}x{width}"
            )
        if self.patch_size not in STRIDES:
            raise BadInput(f"the depth network's patch_size must be 4, 8, 16 or 32, not {self.patch_size}")
        embed = PatchEmbedding(
            self.width,
            self.patch_size,
            self.image_size // self.patch_size,
            use_bias=True,
            dtype=self.dtype,
            name="embedding",
        )
        x = embed(images)
        features = []
        for i in range(self.layers):
            x = TransformerBlock(self.heads, causal=False, dtype=self.dtype, name=f"layer_{i}")(x)
            if (i + 1) % (self.layers // len(STRIDES)) == 0:
                features.append(self._feature_map(x, len(features), height // self.patch_size))

        y = None
        for stage, feature in reversed(list(enumerate(features))):
            y = FeatureFusionBlock(self.dtype, name=f"fusion_{stage}")(feature, y)
        assert y is not None
        y = conv3x3(self.fusion_channels // 2, self.dtype, "head_0")(y)
        y = nn.relu(conv3x3(HEAD_CHANNELS, self.dtype, "head_1")(upsample2x(y)))
        # The initial output is about 0.5, since a ReLU with zero output everywhere has no gradient. The
        # kernel is small but not zero: with a zero kernel the activations of the layer before grow without
        # bound.
        head = nn.Dense(
            1,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal"),
            bias_init=nn.initializers.constant(0.5),
            name="head_2",
        )
        return nn.relu(head(y)).astype(jnp.float32)

    def _feature_map(self, tokens: Array, stage: int, rows: int) -> Array:
        """Reassemble tokens to the feature map of a stage (arXiv 2103.13413, section 3, readout `project`).

        Args:
            tokens: class token and patch tokens, `[B, 1 + N, D]`.
            stage: index into `STRIDES`.
            rows: number of rows of patches.
        """
        patches, class_token = tokens[:, 1:], tokens[:, :1]
        y = jnp.concatenate([patches, jnp.broadcast_to(class_token, patches.shape)], -1)
        y = gelu(dense(self.width, self.dtype, f"readout_{stage}")(y))
        y = rearrange(y, "b (h w) c -> b h w c", h=rows)
        y = dense(self.neck_channels[stage], self.dtype, f"neck_{stage}")(y)
        if self.patch_size > STRIDES[stage]:
            y = PatchConvTranspose(self.patch_size // STRIDES[stage], self.dtype, name=f"resize_{stage}")(y)
        elif self.patch_size < STRIDES[stage]:
            y = conv3x3(y.shape[-1], self.dtype, f"resize_{stage}", stride=STRIDES[stage] // self.patch_size)(
                y
            )
        return nn.Conv(
            self.fusion_channels, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name=f"enter_{stage}"
        )(y)


class PatchConvTranspose(nn.Module):
    """Transposed convolution whose stride equals its kernel size, so that output patches do not overlap."""

    factor: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W C"]:
        """Upsample by `factor` on each side."""
        channels, k = x.shape[-1], self.factor
        # The fan-in of each output is `channels`, not k * k * channels.
        normal = nn.initializers.lecun_normal(batch_axis=(0, 1))
        kernel = self.param("kernel", normal, (k, k, channels, channels), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        y = jnp.einsum("bhwi,klio->bhkwlo", x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
        return rearrange(y, "b h k w l o -> b (h k) (w l) o")


class FeatureFusionBlock(nn.Module):
    """Add a feature map to the output of the block before, refine, and upsample by 2 (RefineNet's fusion)."""

    dtype: Dtype

    @nn.compact
    def __call__(
        self, feature: Float[Array, "B h w C"], fused: Float[Array, "B h w C"] | None
    ) -> Float[Array, "B H W C"]:
        """Fuse; `fused` is None for the coarsest map, whose unused `skip` exists as in the released file."""
        if fused is not None or self.is_initializing():
            skip = ResidualConvUnit(self.dtype, name="skip")(feature)
        y = feature if fused is None else fused + skip
        y = upsample2x(ResidualConvUnit(self.dtype, name="unit")(y))
        return dense(y.shape[-1], self.dtype, "out")(y)


class ResidualConvUnit(nn.Module):
    """ReLU and 3x3 convolution, twice, with a residual connection.

    The second kernel is initialised to zero: otherwise the variance grows through the seven units in a row.
    """

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Apply the unit; the shape is unchanged."""
        y = conv3x3(x.shape[-1], self.dtype, "conv_0")(nn.relu(x))
        return x + conv3x3(x.shape[-1], self.dtype, "conv_1", zero=True)(nn.relu(y))


def upsample2x(x: Float[Array, "B h w C"]) -> Float[Array, "B H W C"]:
    """Upsample by 2 bilinearly with aligned corners, as PyTorch's `interpolate` with `align_corners=True`."""
    rows, columns = (_bilinear_weights(length).astype(x.dtype) for length in x.shape[1:3])
    x = jnp.einsum("Hh,bhwc->bHwc", rows, x)
    return jnp.einsum("Ww,bHwc->bHWc", columns, x)


def _bilinear_weights(length: int) -> np.ndarray:
    """Return the weights of linear interpolation to twice the samples, `[2 * length, length]`."""
    positions = np.linspace(0, length - 1, 2 * length)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(length)))
