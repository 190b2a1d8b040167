"""Depth from single pictures: MiDaS v3's dense prediction transformer (arXiv 2103.13413; released: DPT-Large)."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Float

from vcjax.errors import BadInput
from vcjax.models.layers import conv3x3, dense, exact_gelu
from vcjax.models.vit import PatchEmbedding, TowerLayer

HEAD = 32  # channels before the last convolution
SCALES = (4, 8, 16, 32)  # pixels of the picture, on a side, to one of each feature map, the finest first


class DPT(nn.Module):
    """Pictures to inverse depth: four stages of a vision transformer, fused from the coarsest to the finest.

    ```python
    nearness = dpt.apply(params, 2 * images - 1)    # images in [0, 1], [B, 384, 384, 3] -> [B, 384, 384, 1]
    ```

    Attributes:
        size: side of the pictures that it was trained on; others are taken by interpolating the positions.
        patch: side of a patch in pixels: 4, 8, 16 or 32.
        width: channels of a token.
        layers: transformer layers, a multiple of four; features are taken after each quarter.
        heads: attention heads.
        necks: channels of the feature maps, the finest first.
        fusion: channels of the fusion.
        dtype: compute type.
    """

    size: int = 384
    patch: int = 16
    width: int = 1024
    layers: int = 24
    heads: int = 16
    necks: tuple[int, ...] = (256, 512, 1024, 1024)
    fusion: int = 256
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, images: Float[Array, "B H W 3"]) -> Float[Array, "B H W 1"]:
        """Inverse depth, larger is nearer, not below 0, float32; pictures are in [-1, 1].

        Raises:
            BadInput: sides that are no multiple of a pixel of the coarsest map, 32; another patch.
        """
        height, width = images.shape[1:3]
        if height % SCALES[-1] or width % SCALES[-1]:
            raise BadInput(
                f"the depth network takes sides that are multiples of {SCALES[-1]}, not {height}x{width}"
            )
        if self.patch not in SCALES:
            raise BadInput(f"the depth network's patch must be 4, 8, 16 or 32, not {self.patch}")
        embed = PatchEmbedding(
            self.width, self.patch, self.size // self.patch, use_bias=True, dtype=self.dtype, name="embedding"
        )
        x = embed(images)
        features = []
        for i in range(self.layers):
            x = TowerLayer(self.heads, causal=False, dtype=self.dtype, name=f"layer_{i}")(x)
            if (i + 1) % (self.layers // len(SCALES)) == 0:
                features.append(self._feature_map(x, len(features), height // self.patch))

        y = None
        for stage, feature in reversed(list(enumerate(features))):
            y = Fusion(self.dtype, name=f"fusion_{stage}")(feature, y)
        y = conv3x3(self.fusion // 2, self.dtype, "head_0")(y)
        y = nn.relu(conv3x3(HEAD, self.dtype, "head_1")(doubled(y)))
        # It begins near one half, since a ReLU that answers zero everywhere learns nothing, and not from zero kernels,
        # which would let what they are multiplied with grow without end.
        head = nn.Dense(
            1,
            dtype=self.dtype,
            kernel_init=nn.initializers.variance_scaling(0.01, "fan_in", "truncated_normal"),
            bias_init=nn.initializers.constant(0.5),
            name="head_2",
        )
        return nn.relu(head(y)).astype(jnp.float32)

    def _feature_map(self, tokens: Array, stage: int, rows: int) -> Array:
        """The patches' tokens, each joined with the class token, as a map of the stage's size and `fusion` channels."""
        patches, first = tokens[:, 1:], tokens[:, :1]
        y = jnp.concatenate([patches, jnp.broadcast_to(first, patches.shape)], -1)
        y = exact_gelu(dense(self.width, self.dtype, f"readout_{stage}")(y))
        y = rearrange(y, "b (h w) c -> b h w c", h=rows)
        y = dense(self.necks[stage], self.dtype, f"neck_{stage}")(y)
        if self.patch > SCALES[stage]:
            y = Unfold(self.patch // SCALES[stage], self.dtype, name=f"resize_{stage}")(y)
        elif self.patch < SCALES[stage]:
            y = conv3x3(y.shape[-1], self.dtype, f"resize_{stage}", stride=SCALES[stage] // self.patch)(y)
        return nn.Conv(
            self.fusion, (3, 3), padding=1, use_bias=False, dtype=self.dtype, name=f"enter_{stage}"
        )(y)


class Unfold(nn.Module):
    """A transposed convolution whose stride is its kernel: each pixel becomes a square of pixels by itself."""

    factor: int
    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B H W C"]:
        """`factor` times larger on each side."""
        channels, k = x.shape[-1], self.factor
        normal = nn.initializers.lecun_normal(
            batch_axis=(0, 1)
        )  # each output has `channels` inputs, not k*k times as many
        kernel = self.param("kernel", normal, (k, k, channels, channels), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        y = jnp.einsum("bhwi,klio->bhkwlo", x, kernel.astype(self.dtype)) + bias.astype(self.dtype)
        return rearrange(y, "b h k w l o -> b (h k) (w l) o")


class Fusion(nn.Module):
    """Adds a finer feature map to what was fused so far, and doubles the size."""

    dtype: Dtype

    @nn.compact
    def __call__(
        self, feature: Float[Array, "B h w C"], fused: Float[Array, "B h w C"] | None
    ) -> Float[Array, "B H W C"]:
        """The first, coarsest map has nothing to be added to; its `skip` exists only because released files have it."""
        if fused is not None or self.is_initializing():
            skip = ResidualUnit(self.dtype, name="skip")(feature)
        y = feature if fused is None else fused + skip
        y = doubled(ResidualUnit(self.dtype, name="unit")(y))
        return dense(y.shape[-1], self.dtype, "out")(y)


class ResidualUnit(nn.Module):
    """ReLU and convolution, twice, with a residual that starts at zero: seven in a row would double what they pass on."""

    dtype: Dtype

    @nn.compact
    def __call__(self, x: Float[Array, "B h w C"]) -> Float[Array, "B h w C"]:
        """Keep the shape."""
        y = conv3x3(x.shape[-1], self.dtype, "conv_0")(nn.relu(x))
        return x + conv3x3(x.shape[-1], self.dtype, "conv_1", zero=True)(nn.relu(y))


def doubled(x: Float[Array, "B h w C"]) -> Float[Array, "B H W C"]:
    """Twice the size, bilinear, corners on corners."""
    rows, columns = (_weights(length).astype(x.dtype) for length in x.shape[1:3])
    x = jnp.einsum("Hh,bhwc->bHwc", rows, x)
    return jnp.einsum("Ww,bHwc->bHWc", columns, x)


def _weights(length: int) -> np.ndarray:
    """What each of `2 * length` samples takes of each of `length` values that span the same line."""
    positions = np.linspace(0, length - 1, 2 * length)
    return np.maximum(0, 1 - np.abs(positions[:, None] - np.arange(length)))
