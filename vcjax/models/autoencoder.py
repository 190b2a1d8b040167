"""The autoencoder whose latent space the diffusion runs in (AutoencoderKL of Stable Diffusion, arXiv 2112.10752)."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from flax import struct
from flax.typing import Dtype
from jaxtyping import Array, Float, PRNGKeyArray

from vcjax.models.attention import Implementation, attend
from vcjax.models.layers import GroupNorm, conv3x3, dense

EPSILON = 1e-6  # of every norm in here
LOG_VARIANCE_RANGE = (-30.0, 20.0)


@struct.dataclass
class Posterior:
    """The normal distribution of latents that one image is encoded to, already scaled for the diffusion.

    Attributes:
        mean: `[N, h, w, c]`.
        deviation: `[N, h, w, c]`.
    """

    mean: Any
    deviation: Any

    def sample(self, key: PRNGKeyArray) -> Float[Array, "*N h w c"]:
        """Draw a latent."""
        return self.mean + self.deviation * jax.random.normal(key, self.mean.shape, self.mean.dtype)


class Autoencoder(nn.Module):
    """Images in [-1, 1] to latents and back, `patch * 2 ** (levels - 1)` times smaller on each side.

    ```python
    posterior = autoencoder.apply(params, images, method="encode")    # mean and deviation [N, h, w, c]
    images = autoencoder.apply(params, posterior.mean, method="decode")
    ```

    Attributes:
        width: channels of the first level.
        multipliers: width of each level, in units of `width`.
        blocks: residual blocks a level in the encoder (one more in the decoder).
        latent_channels: channels of the latent.
        scale: latents are multiplied by this, so that their deviation is about 1.
        groups: groups of every group norm.
        patch: pixels of so many rows and columns are the channels of one position; 1 in Stable Diffusion, while 2
            spares a small model the costliest level.
        dtype: compute type.
        attention: see `vcjax.models.attention.attend`.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    latent_channels: int = 4
    scale: float = 0.18215
    groups: int = 32
    patch: int = 1
    dtype: Dtype = jnp.float32
    attention: Implementation = "auto"

    @property
    def factor(self) -> int:
        """How many times smaller a latent is than its image, on each side."""
        return self.patch * 2 ** (len(self.multipliers) - 1)

    def setup(self) -> None:
        """Both halves, so that either can be applied alone."""
        self.encoder = Encoder(
            self.width,
            self.multipliers,
            self.blocks,
            2 * self.latent_channels,
            self.groups,
            self.dtype,
            self.attention,
        )
        self.decoder = Decoder(
            self.width,
            self.multipliers,
            self.blocks,
            3 * self.patch**2,
            self.groups,
            self.dtype,
            self.attention,
        )
        self.to_moments = nn.Dense(2 * self.latent_channels, dtype=self.dtype)
        self.from_latent = nn.Dense(self.latent_channels, dtype=self.dtype)

    def encode(self, images: Float[Array, "N H W 3"]) -> Posterior:
        """The posterior of each image; images are in [-1, 1], sides multiples of `factor`. float32."""
        patches = rearrange(
            images.astype(self.dtype), "n (h i) (w j) c -> n h w (i j c)", i=self.patch, j=self.patch
        )
        moments = self.to_moments(self.encoder(patches)).astype(jnp.float32)
        mean, log_variance = jnp.split(moments, 2, -1)
        deviation = jnp.exp(0.5 * jnp.clip(log_variance, *LOG_VARIANCE_RANGE))
        return Posterior(mean=self.scale * mean, deviation=self.scale * deviation)

    def decode(self, latents: Float[Array, "N h w c"]) -> Float[Array, "N H W 3"]:
        """Images of (scaled) latents, about [-1, 1], not clipped. float32."""
        patches = self.decoder(self.from_latent(latents.astype(self.dtype) / self.scale)).astype(jnp.float32)
        return rearrange(patches, "n h w (i j c) -> n (h i) (w j) c", i=self.patch, j=self.patch)

    def __call__(self, images: Float[Array, "N H W 3"]) -> Float[Array, "N H W 3"]:
        """Encode to the mean and decode; creates all parameters."""
        return self.decode(self.encode(images).mean)


class Encoder(nn.Module):
    """Image to moments."""

    width: int
    multipliers: tuple[int, ...]
    blocks: int
    features: int
    groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N h w m"]:
        """Downsampling pads on the right and at the bottom only."""
        x = conv3x3(self.width, self.dtype, "entry_conv")(x)
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                block = ImageResidualBlock(
                    self.width * multiplier, self.groups, self.dtype, name=f"{level}_{i}"
                )
                x = block(x)
            if level < len(self.multipliers) - 1:
                x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
                x = nn.Conv(
                    x.shape[-1],
                    (3, 3),
                    strides=(2, 2),
                    padding="VALID",
                    dtype=self.dtype,
                    name=f"{level}_sample",
                )(x)
        x = Middle(self.groups, self.dtype, self.attention, name="middle")(x)
        x = nn.silu(GroupNorm(self.groups, EPSILON, self.dtype, name="head_norm")(x))
        return conv3x3(self.features, self.dtype, "head_conv")(x)


class Decoder(nn.Module):
    """Latent to image."""

    width: int
    multipliers: tuple[int, ...]
    blocks: int
    features: int
    groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N h w c"]) -> Float[Array, "N H W C"]:
        """Upsampling is nearest neighbour and a convolution."""
        x = conv3x3(self.width * self.multipliers[-1], self.dtype, "entry_conv")(x)
        x = Middle(self.groups, self.dtype, self.attention, name="middle")(x)
        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for i in range(self.blocks + 1):
                block = ImageResidualBlock(
                    self.width * multiplier, self.groups, self.dtype, name=f"{level}_{i}"
                )
                x = block(x)
            if level > 0:
                n, height, width, channels = x.shape
                x = jax.image.resize(x, (n, 2 * height, 2 * width, channels), "nearest")
                x = conv3x3(channels, self.dtype, f"{level}_sample")(x)
        x = nn.silu(GroupNorm(self.groups, EPSILON, self.dtype, name="head_norm")(x))
        return conv3x3(self.features, self.dtype, "head_conv")(x)


class ImageResidualBlock(nn.Module):
    """Norm, SiLU, 3x3, twice; 1x1 on the skip where widths differ."""

    features: int
    groups: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "N H W C"]) -> Float[Array, "N H W D"]:
        """Map `C` to `features` channels."""
        y = nn.silu(GroupNorm(self.groups, EPSILON, self.dtype, name="norm_0")(x))
        y = conv3x3(self.features, self.dtype, "conv_0")(y)
        y = nn.silu(GroupNorm(self.groups, EPSILON, self.dtype, name="norm_1")(y))
        y = conv3x3(self.features, self.dtype, "conv_1")(y)
        if x.shape[-1] != self.features:
            x = dense(self.features, self.dtype, "skip")(x)
        return x + y


class Middle(nn.Module):
    """Residual block, single-head attention among all pixels, residual block."""

    groups: int
    dtype: Dtype
    attention: Implementation

    @nn.compact
    def __call__(self, x: Float[Array, "N h w C"]) -> Float[Array, "N h w C"]:
        """Keep the shape."""
        channels = x.shape[-1]
        x = ImageResidualBlock(channels, self.groups, self.dtype, name="0")(x)
        y = GroupNorm(self.groups, EPSILON, self.dtype, name="norm")(x)
        y = rearrange(y, "n h w c -> n (h w) 1 c")
        query, key, value = (dense(channels, self.dtype, name)(y) for name in ("query", "key", "value"))
        y = attend(query, key, value, implementation=self.attention)
        x = x + dense(channels, self.dtype, "out")(y.reshape(x.shape))
        return ImageResidualBlock(channels, self.groups, self.dtype, name="1")(x)
