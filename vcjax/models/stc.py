"""STC-encoders: spatio-temporal condition encoders of map conditions (arXiv 2306.02018, section 3.2).

A map of any size is encoded to 8 channels at the size of the latent. The outputs of all conditions are added,
and their sum is concatenated with the noisy latent. The encoders do not depend on the timestep and run once
per clip.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.kernels.geglu import gelu
from vcjax.models.layers import Attention, LayerNorm, conv3x3, dense, sinusoidal_embedding
from vcjax.models.layout import SINGLE_DEVICE, Layout

FEED_FORWARD = 4  # channels of the feed-forward layer, in units of the output's
INDEX_EMBEDDING_DIM = 16  # channels of the sinusoidal embedding of a frame index
# Size that the first convolution's output is pooled to, in units of the latent's; two strided convolutions
# follow.
POOL_FACTOR = 4


class STCEncoder(nn.Module):
    """Encoder of one map condition.

    Attributes:
        out_channels: channels of the output.
        expansion: channels of the layers before the output, in units of `out_channels`.
        heads: heads of the temporal attention, each with `out_channels` channels.
        patch_size: side in pixels of the patches that are rearranged to channels (space-to-depth) before the
            first convolution; 1 in the released model. 2 reduces the cost of the first convolution, the most
            expensive layer, to a quarter.
        frame_embedding: scale and shift the output by an embedding of the frame index, so that a spatial
            condition can have a different effect on each frame. The released encoders repeat its encoding for
            all frames.
        temporal: False omits the temporal transformer (an ablation of the paper, section 4.3).
        dropout: dropout rate of the temporal transformer.
        dtype: compute type.
        zero: initialise so that the output is exactly zero; an encoder added to a trained model then leaves
            its predictions unchanged.
        layout: sharding of the batch; small batches are replicated.
    """

    out_channels: int = 8
    expansion: int = 4
    heads: int = 2
    patch_size: int = 1
    frame_embedding: bool = False
    temporal: bool = True
    dropout: float = 0.05
    dtype: Dtype = jnp.float32
    zero: bool = False
    layout: Layout = SINGLE_DEVICE

    @nn.compact
    def __call__(
        self,
        condition: Float[Array, "B F H W C"],
        size: tuple[int, int],
        *,
        frame_index: Int[Array, "#B K"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B F2 h w D"]:
        """Encode a map condition.

        Args:
            condition: map; F is 1 for spatial conditions.
            size: height and width of the latent.
            frame_index: index of each frame in its clip, used with `frame_embedding`; 0, 1, ... if None.
            deterministic: False enables dropout, which needs an rng named "dropout".

        Returns:
            Encoding, float32 (float64 if that is the compute type). A spatial condition has one frame, or
            with `frame_embedding` one for each entry of `frame_index`.
        """
        layout = self.layout.for_batch(*condition.shape[:2], allow_replication=True)
        x = rearrange(
            layout.flatten_frames(condition.astype(self.dtype)),
            "n (h i) (w j) c -> n h w (i j c)",
            i=self.patch_size,
            j=self.patch_size,
        )
        x = nn.silu(conv3x3(self.expansion * self.out_channels, self.dtype, "conv_0")(x))
        x = adaptive_average_pool(x, (POOL_FACTOR * size[0], POOL_FACTOR * size[1]))
        x = nn.silu(conv3x3(self.expansion * self.out_channels, self.dtype, "conv_1", stride=2)(x))
        x = conv3x3(self.out_channels, self.dtype, "conv_2", stride=2, zero=self.zero)(x)
        x = layout.unflatten_frames(x, condition.shape[0])
        if self.temporal:
            y = layout.shard_pixels(rearrange(x, "b f h w c -> b f (h w) c"))
            y = self._temporal_transformer(rearrange(y, "b f n c -> b n f c"), deterministic)
            x = layout.reshard_frames(rearrange(y, "b n f c -> b f n c")).reshape(x.shape)
        if self.frame_embedding:
            x = self._modulate(
                x, jnp.arange(condition.shape[1])[None] if frame_index is None else frame_index
            )
        return x.astype(jnp.promote_types(self.dtype, jnp.float32))

    def _modulate(
        self, x: Float[Array, "B #F h w D"], frame_index: Int[Array, "#B F"]
    ) -> Float[Array, "B F h w D"]:
        """Scale and shift by embeddings of the frame index and of whether the frame is the first."""
        features = jnp.concatenate(
            [sinusoidal_embedding(frame_index, INDEX_EMBEDDING_DIM), (frame_index == 0)[..., None]], -1
        )
        scale_and_shift = dense(2 * self.out_channels, self.dtype, "frame_embedding", zero=True)(
            features.astype(self.dtype)
        )
        scale, shift = jnp.split(scale_and_shift[:, :, None, None], 2, -1)
        return x * (1 + scale) + shift

    def _temporal_transformer(self, x: Array, deterministic: bool) -> Array:
        """Transform `[B, N, F, D]` along the frames."""
        y = LayerNorm(self.dtype, name="norm")(x)[1]
        attention = Attention(
            self.heads, self.out_channels, self.dropout, self.dtype, "plain", self.zero, name="attention"
        )
        x = x + attention(y, deterministic=deterministic)
        y = gelu(dense(FEED_FORWARD * self.out_channels, self.dtype, "hidden")(x))
        y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
        return x + dense(self.out_channels, self.dtype, "out", zero=self.zero)(y)


def adaptive_average_pool(x: Float[Array, "N H W C"], size: tuple[int, int]) -> Float[Array, "N h w C"]:
    """Return the adaptive average pooling to a given size, as PyTorch's AdaptiveAvgPool2d.

    Cell i is the mean of rows floor(i H / h) to ceil((i + 1) H / h), exclusive, and columns likewise; cells
    overlap if the sizes do not divide. Integer factors are pooled with a window, others with two matrix
    products.
    """
    height, width = x.shape[1:3]
    if (height, width) == size:
        return x
    if height % size[0] == 0 and width % size[1] == 0:
        window = (height // size[0], width // size[1])
        return nn.avg_pool(x, window, strides=window)
    rows, columns = _pooling_matrix(height, size[0]), _pooling_matrix(width, size[1])
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST).astype(
        x.dtype
    )


def _pooling_matrix(length: int, cells: int) -> Array:
    """Return the weights of samples in cells, `[cells, length]`."""
    start = jnp.arange(cells) * length // cells
    end = -(-(jnp.arange(1, cells + 1) * length) // cells)
    position = jnp.arange(length)
    inside = (position >= start[:, None]) & (position < end[:, None])
    return inside / (end - start)[:, None]
