"""Autoencoder of the latent diffusion: AutoencoderKL of Stable Diffusion (arXiv 2112.10752)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from flax import struct
from flax.typing import Dtype
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.models.attention import Implementation, dot_product_attention
from vcjax.models.layers import GroupNorm, conv3x3, dense
from vcjax.models.layout import SINGLE_DEVICE

NORM_EPSILON = 1e-6  # of all group norms of the autoencoder
LOG_VARIANCE_RANGE = (-30.0, 20.0)


@struct.dataclass
class Posterior:
    """Diagonal Gaussian posterior of the latents of images, multiplied by the scaling factor.

    Attributes:
        mean: mean, `[N, h, w, c]`.
        std: standard deviation, `[N, h, w, c]`.
    """

    mean: Any
    std: Any

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*N h w c"]:
        """Sample latents."""
        return self.mean + self.std * jax.random.normal(key, self.mean.shape, self.mean.dtype)


class Autoencoder(nn.Module):
    """Variational autoencoder between images in [-1, 1] and latents that are smaller by `downsampling`.

    ```python
    posterior = autoencoder.apply(params, images, method="encode")    # mean and std [N, h, w, c]
    images = autoencoder.apply(params, posterior.mean, method="decode")
    ```

    Attributes:
        base_channels: channels of the first level.
        channel_multipliers: channels of each level, in units of `base_channels`.
        num_res_blocks: residual blocks per level in the encoder (one more in the decoder).
        latent_channels: channels of the latent.
        scaling_factor: factor of the latents, chosen so that their standard deviation is about 1.
        norm_groups: groups of every group norm.
        patch_size: side in pixels of the patches that are rearranged to channels (space-to-depth) before the
            encoder; 1 in Stable Diffusion. 2 avoids the most expensive level, that of full resolution.
        dtype: compute type.
        attention: implementation, see `vcjax.models.attention.dot_product_attention`.
    """

    base_channels: int = 128
    channel_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    latent_channels: int = 4
    scaling_factor: float = 0.18215
    norm_groups: int = 32
    patch_size: int = 1
    dtype: Dtype = jnp.float32
    attention: Implementation = "auto"

    @property
    def downsampling(self) -> int:
        """Downsampling factor from image to latent, on each side."""
        return self.patch_size * 2 ** (len(self.channel_multipliers) - 1)

    def latent_size(self, height: int, width: int) -> tuple[int, int]:
        """Return height and width of the latent of an image."""
        return height // self.downsampling, width // self.downsampling

    def setup(self) -> None:
        """Define encoder and decoder, which can be applied separately."""
        self.encoder = Encoder(
            self.base_channels,
            self.channel_multipliers,
            self.num_res_blocks,
            2 * self.latent_channels,
            self.norm_groups,
            self.dtype,
            self.attention,
        )
        self.decoder = Decoder(
            self.base_channels,
            self.channel_multipliers,
            self.num_res_blocks,
            3 * self.patch_size**2,
            self.norm_groups,
            self.dtype,
            self.attention,
        )
        self.quant_conv = nn.Dense(2 * self.latent_channels, dtype=self.dtype)
        self.post_quant_conv = nn.Dense(self.latent_channels, dtype=self.dtype)

    def encode(self, images: Float[Array, "N H W 3"]) -> Posterior:
        """Return the posterior of each image, float32.

        Args:
            images: images in [-1, 1]; height and width are multiples of `downsampling`.
        """
        patches = rearrange(
            images.astype(self.dtype),
            "n (h i) (w j) c -> n h w (i j c)",
            i=self.patch_size,
            j=self.patch_size,
        )
        moments = self.quant_conv(self.encoder(patches)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, -1)
        std = jnp.exp(0.5 * jnp.clip(log_variance, *LOG_VARIANCE_RANGE))
        return Posterior(mean=self.scaling_factor * mean, std=self.scaling_factor * std)

    def decode(self, latents: Float[Array, "N h w c"]) -> Float[Array, "N H W 3"]:
        """Return the images of scaled latents, in about [-1, 1], not clipped, float32."""
        patches = self.decoder(self.post_quant_conv(latents.astype(self.dtype) / self.scaling_factor)).astype(
            jnp.float32
        )
        return rearrange(patches, "n h w (i j c) -> n (h i) (w j) c", i=self.patch_size, j=self.patch_size)

    def __call__(self, images: Float[Array, "N H W 3"]) -> Float[Array, "N H W 3"]:
        """Reconstruct images from the mean of the posterior; also initialises all parameters."""
        return self.decode(self.encode(images).mean)


class Encoder(nn.Module):
    """Encoder from images to the mean and log-variance of the posterior, concatenated."""

    base_channels: int
    channel_multipliers: tuple[int, ...]
    num_res_blocks: int
    out_channels: int
    norm_groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w m"]:
        """Encode; strided convolutions pad on the right and at the bottom only, as in Stable Diffusion."""
        x = conv3x3(self.base_channels, self.dtype, "conv_in")(x)
        for level, multiplier in enumerate(self.channel_multipliers):
            for i in range(self.num_res_blocks):
                block = ImageResidualBlock(
                    self.base_channels * multiplier, self.norm_groups, self.dtype, name=f"{level}_{i}"
                )
                x = block(x)
            if level < len(self.channel_multipliers) - 1:
                x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
                x = nn.Conv(
                    x.shape[-1],
                    (3, 3),
                    strides=(2, 2),
                    padding="VALID",
                    dtype=self.dtype,
                    name=f"{level}_sample",
                )(x)
        x = MidBlock(self.norm_groups, self.dtype, self.attention, name="middle")(x)
        x = GroupNorm(
            self.norm_groups, NORM_EPSILON, self.dtype, layout=SINGLE_DEVICE, silu=True, name="norm_out"
        )(x)
        return conv3x3(self.out_channels, self.dtype, "conv_out")(x)


class Decoder(nn.Module):
    """Decoder from latents to images."""

    base_channels: int
    channel_multipliers: tuple[int, ...]
    num_res_blocks: int
    out_channels: int
    norm_groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N h w c"]) -> Float[Array, "N H W C"]:
        """Decode; levels are upsampled by nearest neighbour and a convolution."""
        x = conv3x3(self.base_channels * self.channel_multipliers[-1], self.dtype, "conv_in")(x)
        x = MidBlock(self.norm_groups, self.dtype, self.attention, name="middle")(x)
        for level, multiplier in reversed(list(enumerate(self.channel_multipliers))):
            for i in range(self.num_res_blocks + 1):
                block = ImageResidualBlock(
                    self.base_channels * multiplier, self.norm_groups, self.dtype, name=f"{level}_{i}"
                )
                x = block(x)
            if level > 0:
                n, height, width, channels = x.shape
                x = jax.image.resize(x, (n, 2 * height, 2 * width, channels), "nearest")
                x = conv3x3(channels, self.dtype, f"{level}_sample")(x)
        x = GroupNorm(
            self.norm_groups, NORM_EPSILON, self.dtype, layout=SINGLE_DEVICE, silu=True, name="norm_out"
        )(x)
        return conv3x3(self.out_channels, self.dtype, "conv_out")(x)


class ImageResidualBlock(nn.Module):
    """Group norm, SiLU and 3x3 convolution, twice, with a residual connection (1x1 where channels differ)."""

    out_channels: int
    norm_groups: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W D"]:
        """Map `C` to `out_channels` channels."""
        y = GroupNorm(
            self.norm_groups, NORM_EPSILON, self.dtype, layout=SINGLE_DEVICE, silu=True, name="norm_0"
        )(x)
        y = conv3x3(self.out_channels, self.dtype, "conv_0")(y)
        y = GroupNorm(
            self.norm_groups, NORM_EPSILON, self.dtype, layout=SINGLE_DEVICE, silu=True, name="norm_1"
        )(y)
        y = conv3x3(self.out_channels, self.dtype, "conv_1")(y)
        if x.shape[-1] != self.out_channels:
            x = dense(self.out_channels, self.dtype, "skip")(x)
        return x + y


class MidBlock(nn.Module):
    """Residual block, single-head self-attention among all pixels, residual block."""

    norm_groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N h w C"]:
        """Apply the blocks; the shape is unchanged."""
        channels = x.shape[-1]
        x = ImageResidualBlock(channels, self.norm_groups, self.dtype, name="0")(x)
        y = GroupNorm(self.norm_groups, NORM_EPSILON, self.dtype, layout=SINGLE_DEVICE, name="norm")(x)
        y = rearrange(y, "n h w c -> n (h w) 1 c")
        query, key, value = (dense(channels, self.dtype, name)(y) for name in ("query", "key", "value"))
        y = dot_product_attention(query, key, value, implementation=self.attention)
        x = x + dense(channels, self.dtype, "out")(y.reshape(x.shape))
        return ImageResidualBlock(channels, self.norm_groups, self.dtype, name="1")(x)
