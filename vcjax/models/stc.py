"""STC-encoders: spatio-temporal condition encoders, one for each map condition (arXiv 2306.02018, section 3.2).

A map of any size becomes 8 channels at the size of the latent; the outputs of all conditions are added, and the
sum goes beside the noisy latent. Nothing here depends on the timestep, so it runs once a clip.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from einops import rearrange
from flax.typing import Dtype
from jaxtyping import Array, Float, Int

from vcjax.models.layers import Attention, conv3x3, dense, exact_gelu, layer_norm, sinusoids
from vcjax.models.layout import ALONE, Layout

FEED_FORWARD = 4
NUMBER_WIDTH = 16  # of the sinusoids of a frame's number
POOLED = (
    4  # the convolved map is pooled to this many times the latent's size; two strided convolutions follow
)


class STCEncoder(nn.Module):
    """Encoder of one map condition.

    Attributes:
        features: channels of the output.
        expansion: width of the layers before the output, in units of `features`.
        heads: attention heads along the frames, each `features` wide.
        patch: pixels of so many rows and columns are the channels of one position; 1 in the released model, while 2
            spares a small model three quarters of the costliest layer.
        frame_numbers: outputs are scaled and shifted by each frame's number, so that a still can say more of the first frame
            than of later ones, and motion how far things have come. The released encoders give a still alike to all frames.
        temporal: False leaves the layer along the frames out (an ablation of the paper, section 4.3).
        dropout: rate in the temporal layer, in training.
        dtype: compute type.
        zero: start with an output of exactly zero, so that a trained model can take the encoder on unchanged.
        layout: how a batch lies on several devices. Few stills, and a clip that is alone, are whole on each.
    """

    features: int = 8
    expansion: int = 4
    heads: int = 2
    patch: int = 1
    frame_numbers: bool = False
    temporal: bool = True
    dropout: float = 0.05
    dtype: Dtype = jnp.float32
    zero: bool = False
    layout: Layout = ALONE

    @nn.compact
    def __call__(
        self,
        condition: Float[Array, "B F H W C"],
        size: tuple[int, int],
        *,
        numbers: Int[Array, "#B K"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "B F2 h w D"]:
        """Encode a map to `size`, the latent's height and width. Returns float32 (float64 where it computes in that).

        `numbers` are those of the frames in their clip, 0, 1, ... where None. Of a still, what is encoded is one frame for
        all, or with `frame_numbers` one for each of `numbers`.
        """
        layout = self.layout.suited(*condition.shape[:2], few=True)
        x = rearrange(
            layout.merged(condition.astype(self.dtype)),
            "n (h i) (w j) c -> n h w (i j c)",
            i=self.patch,
            j=self.patch,
        )
        x = nn.silu(conv3x3(self.expansion * self.features, self.dtype, "conv_0")(x))
        x = adaptive_average_pool(x, (POOLED * size[0], POOLED * size[1]))
        x = nn.silu(conv3x3(self.expansion * self.features, self.dtype, "conv_1", stride=2)(x))
        x = conv3x3(self.features, self.dtype, "conv_2", stride=2, zero=self.zero)(x)
        x = layout.apart(x, condition.shape[0])
        if self.temporal:
            y = layout.by_pixels(rearrange(x, "b f h w c -> b f (h w) c"))
            y = self._across_frames(rearrange(y, "b f n c -> b n f c"), deterministic)
            x = layout.back_to_frames(rearrange(y, "b n f c -> b f n c")).reshape(x.shape)
        if self.frame_numbers:
            x = self._by_number(x, jnp.arange(condition.shape[1])[None] if numbers is None else numbers)
        return x.astype(jnp.promote_types(self.dtype, jnp.float32))

    def _by_number(
        self, x: Float[Array, "B #F h w D"], numbers: Int[Array, "#B F"]
    ) -> Float[Array, "B F h w D"]:
        """Scaled and shifted by the sinusoids of a frame's number, and by whether it is the first."""
        told = jnp.concatenate([sinusoids(numbers, NUMBER_WIDTH), (numbers == 0)[..., None]], -1)
        scale_and_shift = dense(2 * self.features, self.dtype, "frame_number", zero=True)(
            told.astype(self.dtype)
        )
        scale, shift = jnp.split(scale_and_shift[:, :, None, None], 2, -1)
        return x * (1 + scale) + shift

    def _across_frames(self, x: Array, deterministic: bool) -> Array:
        y = layer_norm(self.dtype, "norm")(x)
        attention = Attention(
            self.heads, self.features, self.dropout, self.dtype, "plain", self.zero, name="attention"
        )
        x = x + attention(y, deterministic=deterministic)
        y = exact_gelu(dense(FEED_FORWARD * self.features, self.dtype, "hidden")(x))
        y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
        return x + dense(self.features, self.dtype, "out", zero=self.zero)(y)


def adaptive_average_pool(x: Float[Array, "N H W C"], size: tuple[int, int]) -> Float[Array, "N h w C"]:
    """Average pooling to a given size, larger or smaller: cell i covers floor(i H/h) to ceil((i+1) H/h).

    The cells are those of PyTorch's AdaptiveAvgPool2d, overlapping where the sizes do not divide. Equal sizes cost
    nothing, whole factors a windowed mean, all others two small matrix products.
    """
    height, width = x.shape[1:3]
    if (height, width) == size:
        return x
    if height % size[0] == 0 and width % size[1] == 0:
        window = (height // size[0], width // size[1])
        return nn.avg_pool(x, window, strides=window)
    rows, columns = _pooling(height, size[0]), _pooling(width, size[1])
    return jnp.einsum("ih,nhwc,jw->nijc", rows, x, columns, precision=jax.lax.Precision.HIGHEST).astype(
        x.dtype
    )


def _pooling(length: int, cells: int) -> Array:
    """`[cells, length]`: the weight of each sample in each cell."""
    start = jnp.arange(cells) * length // cells
    end = -(-(jnp.arange(1, cells + 1) * length) // cells)
    position = jnp.arange(length)
    inside = (position >= start[:, None]) & (position < end[:, None])
    return inside / (end - start)[:, None]
