"""3D UNet: predicts the noise (or velocity) of a latent clip, conditioned on maps and tokens.

The defaults are the sizes of the released network (arXiv 2306.02018, section 3.3).
"""

from collections.abc import Callable, Iterator
from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int, Real

from vcjax.errors import BadInput
from vcjax.models.attention import Implementation
from vcjax.models.blocks import Downsample, ResidualBlock, SpatialTransformer, TemporalTransformer, Upsample
from vcjax.models.layers import GroupNorm, conv3x3, dense, sinusoidal_embedding
from vcjax.models.layout import SINGLE_DEVICE, Layout

RematKind = Literal["residual", "spatial", "temporal"]


class UNet(nn.Module):
    """Denoising 3D UNet of VideoComposer; height and width of the latent must be multiples of `downsampling`.

    ```python
    unet = UNet()                                                     # the released size
    params = unet.init(key, z, t, maps, tokens, mask)
    out = unet.apply(params, z, t, maps, tokens, mask)                # [B, F, h, w, latent_channels]
    ```

    Attributes:
        base_channels: channels of the first level.
        channel_multipliers: channels of each level, in units of `base_channels`.
        num_res_blocks: residual blocks per level in the down path (one more in the up path).
        attention_levels: levels with transformers; the middle block always has them.
        head_dim: channels of an attention head.
        num_input_heads: heads of the temporal transformer after the first convolution.
        latent_channels: channels of the latent, input and output.
        norm_groups: groups of every group norm.
        dropout: dropout rate in residual blocks and temporal convolutions.
        frame_embedding: add an embedding of the frame index to the time embedding. The released network has
            no such embedding and infers the temporal order from the zero padding of its temporal
            convolutions, which a small network learns slowly.
        dtype: compute type. Norms and softmax are computed in float32; parameters are float32.
        attention: implementation, see `vcjax.models.attention.dot_product_attention`.
        remat: kinds of block whose activations are recomputed in the backward pass.
        layout: sharding of the batch; its mesh must divide clips, frames, and pixels at every level.
    """

    base_channels: int = 320
    channel_multipliers: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    head_dim: int = 64
    num_input_heads: int = 8
    latent_channels: int = 4
    norm_groups: int = 32
    dropout: float = 0.1
    frame_embedding: bool = False
    dtype: Dtype = jnp.float32
    attention: Implementation = "auto"
    remat: tuple[RematKind, ...] = ()
    layout: Layout = SINGLE_DEVICE

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "B F h w c"],
        t: Real[Array, "B"],
        maps: Float[Array, "B F h w m"],
        tokens: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        *,
        frame_index: Int[Array, "#B F"] | None = None,
        temporal: bool = True,
        deterministic: bool = True,
        fresh_blocks: int | None = None,
        deep: Float[Array, "B F h w d"] | None = None,
    ) -> Float[Array, "B F h w c"] | tuple[Float[Array, "B F h w c"], Float[Array, "B F h w d"]]:
        """Predict the noise, the velocity or x0, as the network was trained to.

        With `fresh_blocks` the features in front of the last blocks of the up path are returned too. A call at a near
        timestep that gets them as `deep` computes these blocks and their skips only (DeepCache, arXiv 2312.00858).

        Args:
            z: noisy latents z_t.
            t: timesteps t in [0, T), not rescaled.
            maps: sum of the outputs of the STC-encoders; zeros without map conditions.
            tokens: text and style tokens.
            mask: True for tokens that exist.
            frame_index: index of each frame in its clip, for a network with `frame_embedding`; 0, 1, ... if
                None.
            temporal: False skips all temporal layers, for training on single images; frames are then
                independent.
            deterministic: False enables dropout, which needs an rng named "dropout".
            fresh_blocks: number of blocks at the end of the up path, from 1 to `num_res_blocks + 1`.
            deep: features in front of these blocks, from another call.

        Returns:
            Prediction in the shape of `z`, float32 (float64 if that is the compute type), and, with `fresh_blocks` and
            without `deep`, the features.
        """
        self._check_size(z.shape)
        layout = self.layout.for_batch(*z.shape[:2])
        x = layout.shard_frames(jnp.concatenate([z.astype(self.dtype), maps.astype(self.dtype)], -1))
        tokens, lengths = _existing_first(tokens.astype(self.dtype), mask)
        time = self._embed_time(t, jnp.arange(z.shape[1])[None] if frame_index is None else frame_index)

        residual, transformers, temporal_transformer = self._block_functions(
            layout, time, tokens, lengths, temporal=temporal, deterministic=deterministic
        )
        x = conv3x3(self.base_channels, self.dtype, "conv_in")(layout.flatten_frames(x))
        x = layout.unflatten_frames(x, z.shape[0])
        x = temporal_transformer(x, self.num_input_heads, "temporal_in")
        x, features = self._paths(x, layout, residual, transformers, fresh_blocks, deep)
        out = layout.unflatten_frames(self._head(layout.flatten_frames(x), layout), z.shape[0])
        return out if fresh_blocks is None or deep is not None else (out, features)

    def _paths(
        self,
        x: Float[Array, "B F h w C"],
        layout: Layout,
        residual: Callable[..., Array],
        transformers: Callable[..., Array],
        fresh_blocks: int | None,
        deep: Float[Array, "B F h w d"] | None,
    ) -> tuple[Float[Array, "B F h w C"], Float[Array, "B F h w d"]]:
        """Return the output of the down path, the middle and the up path, and the features in front of its last blocks."""

        def down(x: Array, level: int, i: int) -> Array:
            x = residual(
                x, self.base_channels * self.channel_multipliers[level], f"down_{level}_{i}_residual"
            )
            return transformers(x, f"down_{level}_{i}") if level in self.attention_levels else x

        def up(x: Array, level: int, i: int) -> Array:
            x = jnp.concatenate([x, skips.pop()], -1)
            x = residual(x, self.base_channels * self.channel_multipliers[level], f"up_{level}_{i}_residual")
            return transformers(x, f"up_{level}_{i}") if level in self.attention_levels else x

        levels, blocks = range(len(self.channel_multipliers)), self.num_res_blocks + 1
        first_fresh = blocks - (fresh_blocks or 0)
        skips = [x]
        if deep is not None:
            for i in range(blocks - first_fresh - 1):
                x = down(x, 0, i)
                skips.append(x)
            x = deep
        else:
            for level in levels:
                for i in range(self.num_res_blocks):
                    x = down(x, level, i)
                    skips.append(x)
                if level < levels[-1]:
                    x = layout.gather_params(Downsample)(self.dtype, layout, name=f"down_{level}_sample")(x)
                    skips.append(x)
            x = residual(x, x.shape[-1], "middle_0_residual")
            x = transformers(x, "middle")
            x = residual(x, x.shape[-1], "middle_1_residual")
            for level in reversed(levels):
                for i in range(blocks if level > 0 else first_fresh):
                    x = up(x, level, i)
                if level > 0:
                    x = layout.gather_params(Upsample)(self.dtype, layout, name=f"up_{level}_sample")(x)
        features = x
        for i in range(first_fresh, blocks):
            x = up(x, 0, i)
        return x, features

    def _head(self, x: Float[Array, "N h w C"], layout: Layout) -> Float[Array, "N h w c"]:
        """Return the prediction, in float32: guidance multiplies the rounding of what it subtracts."""
        x = GroupNorm(self.norm_groups, dtype=self.dtype, silu=True, layout=layout, name="norm_out")(x)
        wide = jnp.promote_types(self.dtype, jnp.float32)
        return conv3x3(self.latent_channels, wide, "conv_out", zero=True)(x)

    def _block_functions(
        self,
        layout: Layout,
        time: Array,
        tokens: Array,
        lengths: Array,
        *,
        temporal: bool,
        deterministic: bool,
    ) -> tuple[Callable[..., Array], Callable[..., Array], Callable[..., Array]]:
        """Return functions that apply a residual block, both transformers, or the temporal transformer."""

        def residual(x: Array, features: int, name: str) -> Array:
            block = self._maybe_remat(layout.gather_params(ResidualBlock), "residual", static=(3, 4))
            return block(features, self.norm_groups, self.dropout, self.dtype, layout, name=name)(
                x, time, temporal, deterministic
            )

        def transformers(x: Array, prefix: str) -> Array:
            block = self._maybe_remat(layout.gather_params(SpatialTransformer), "spatial")
            name = f"{prefix}_spatial"
            spatial = block(self.head_dim, self.norm_groups, self.dtype, self.attention, layout, name=name)
            x = spatial(x, tokens, lengths)
            return temporal_transformer(x, x.shape[-1] // self.head_dim, f"{prefix}_temporal")

        def temporal_transformer(x: Array, heads: int, name: str) -> Array:
            if not temporal:
                return x
            block = self._maybe_remat(layout.gather_params(TemporalTransformer), "temporal")
            return block(
                heads, self.head_dim, self.norm_groups, self.dtype, self.attention, layout, name=name
            )(x)

        return residual, transformers, temporal_transformer

    def _maybe_remat(self, block: type[nn.Module], kind: RematKind, static: tuple[int, ...] = ()):
        """Return the block, rematerialised if `remat` has its kind; `static` are its static arguments."""
        if kind in self.remat:
            return nn.remat(block, static_argnums=static)
        return block

    def _embed_time(self, t: Array, frame_index: Int[Array, "#B F"]) -> Float[Array, "B #F E"]:
        """Return the time embedding, E = 4 * base_channels; its frame axis is 1 without `frame_embedding`."""
        embedding = sinusoidal_embedding(t, self.base_channels).astype(self.dtype)
        embedding = nn.silu(dense(4 * self.base_channels, self.dtype, "time_0")(embedding))
        embedding = dense(4 * self.base_channels, self.dtype, "time_1")(embedding)[:, None]
        if self.frame_embedding:
            index_embedding = sinusoidal_embedding(frame_index, self.base_channels).astype(self.dtype)
            embedding += dense(4 * self.base_channels, self.dtype, "frame_embedding", zero=True)(
                index_embedding
            )
        return embedding

    @property
    def downsampling(self) -> int:
        """Downsampling factor from the first to the last level, on each side."""
        return 2 ** (len(self.channel_multipliers) - 1)

    def size_conflicts(self, name: str = "UNet") -> Iterator[str]:
        """Yield an error message for each pair of fields that are incompatible.

        Args:
            name: name of the network in the messages.
        """
        for level, multiplier in enumerate(self.channel_multipliers):
            channels = self.base_channels * multiplier
            attends = level in self.attention_levels or level == len(self.channel_multipliers) - 1
            if channels % self.norm_groups:
                yield (
                    f"channels of {name} at level {level} = {channels} must be a multiple of "
                    f"{name}.norm_groups = {self.norm_groups}"
                )
            if attends and channels < self.head_dim:
                yield (
                    f"channels of {name} at level {level} = {channels} must be at least "
                    f"{name}.head_dim = {self.head_dim}, since that level has attention"
                )

    def _check_size(self, shape: tuple[int, ...]) -> None:
        for conflict in self.size_conflicts():
            raise BadInput(conflict)
        height, width = shape[2:4]
        if height % self.downsampling or width % self.downsampling:
            raise BadInput(
                f"latents of {height}x{width} (height x width) must have sides that are multiples of "
                f"{self.downsampling}, since the UNet halves them {len(self.channel_multipliers) - 1} times"
            )


def _existing_first(
    tokens: Float[Array, "B L D"], mask: Bool[Array, "B L"]
) -> tuple[Float[Array, "B L D"], Int[Array, "B"]]:
    """Return the tokens with those that exist in front, and their number, which attention takes in place of a mask.

    Attention does not depend on the order of its keys.
    """
    order = jnp.argsort(~mask, axis=1, stable=True)
    return jnp.take_along_axis(tokens, order[..., None], axis=1), mask.sum(1, dtype=jnp.int32)
