"""The 3D UNet: predicts the noise (or the velocity) of a latent clip, given summed maps and tokens.

The sizes of the released network (arXiv 2306.02018, section 3.3, and its published weights) are the defaults.
"""

from typing import Literal

import flax.linen as nn
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Bool, Float, Int, Real

from vcjax.errors import BadInput
from vcjax.models.attention import Implementation
from vcjax.models.blocks import Downsample, ResidualBlock, SpatialTransformer, TemporalTransformer, Upsample
from vcjax.models.layers import GroupNorm, conv3x3, dense, sinusoids
from vcjax.models.layout import ALONE, Layout

Rematerialised = Literal["residual", "spatial", "temporal"]


class UNet(nn.Module):
    """The denoiser of VideoComposer. Height and width must be divisible by 2 at every level but the last.

    ```python
    unet = UNet()                                                     # the released size
    params = unet.init(key, z, t, maps, tokens, mask)
    out = unet.apply(params, z, t, maps, tokens, mask)                # [B, F, h, w, latent_channels]
    ```

    Attributes:
        width: channels of the first level.
        multipliers: width of each level, in units of `width`.
        blocks: residual blocks a level on the way down (one more on the way up).
        attention_levels: which levels have transformers; the middle always has.
        head_size: channels of an attention head.
        entry_heads: heads of the temporal transformer behind the first convolution.
        latent_channels: channels of the latent, in and out.
        groups: groups of every group norm.
        dropout: rate inside residual blocks and temporal convolutions, in training.
        frame_numbers: residual blocks are told each frame's number beside the timestep. The released network has its order
            in time from the borders of its temporal convolutions alone, which a small one is slow to learn.
        dtype: compute type; norms and softmax are computed in float32, and parameters are made in it.
        attention: see `vcjax.models.attention.attend`.
        rematerialised: kinds of block whose activations are recomputed in the backward pass.
        layout: how a batch lies on several devices, which must divide its clips, frames, and pixels at every level.
    """

    width: int = 320
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    attention_levels: tuple[int, ...] = (0, 1, 2)
    head_size: int = 64
    entry_heads: int = 8
    latent_channels: int = 4
    groups: int = 32
    dropout: float = 0.1
    frame_numbers: bool = False
    dtype: Dtype = jnp.float32
    attention: Implementation = "auto"
    rematerialised: tuple[Rematerialised, ...] = ()
    layout: Layout = ALONE

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "B F h w c"],
        t: Real[Array, "B"],
        maps: Float[Array, "B F h w m"],
        tokens: Float[Array, "B L D"],
        mask: Bool[Array, "B L"],
        *,
        numbers: Int[Array, "#B F"] | None = None,
        temporal: bool = True,
        deterministic: bool = True,
    ) -> Float[Array, "B F h w c"]:
        """Predict from the noisy latent `z` at timestep `t` what the objective asks for.

        Args:
            z: noisy latents.
            t: timesteps in [0, 1000), not rescaled.
            maps: the sum of the STC-encoders' outputs; zeros where there is no map.
            tokens: text and style tokens.
            mask: which tokens are there.
            numbers: of the frames in their clip, for a network with `frame_numbers`; 0, 1, ... where None.
            temporal: False skips every temporal layer, for training on images; frames are then independent.
            deterministic: False switches dropout on and needs an rng named "dropout".

        Returns:
            float32 (float64 where that is the compute type), of the shape of `z`.
        """
        self._check_size(z.shape)
        layout = self.layout.suited(*z.shape[:2])
        x = layout.by_frames(jnp.concatenate([z.astype(self.dtype), maps.astype(self.dtype)], -1))
        tokens = tokens.astype(self.dtype)
        time = self._embed_time(t, jnp.arange(z.shape[1])[None] if numbers is None else numbers)

        def residual(x: Array, features: int, name: str) -> Array:
            block = self._kind(layout.gathering(ResidualBlock), "residual", static=(3, 4))
            return block(features, self.groups, self.dropout, self.dtype, layout, name=name)(
                x, time, temporal, deterministic
            )

        def attentions(x: Array, prefix: str) -> Array:
            block = self._kind(layout.gathering(SpatialTransformer), "spatial")
            name = f"{prefix}_spatial"
            spatial = block(self.head_size, self.groups, self.dtype, self.attention, layout, name=name)
            x = spatial(x, tokens, mask)
            return across_frames(x, x.shape[-1] // self.head_size, f"{prefix}_temporal")

        def across_frames(x: Array, heads: int, name: str) -> Array:
            if not temporal:
                return x
            block = self._kind(layout.gathering(TemporalTransformer), "temporal")
            return block(heads, self.head_size, self.groups, self.dtype, self.attention, layout, name=name)(x)

        x = layout.apart(conv3x3(self.width, self.dtype, "entry_conv")(layout.merged(x)), z.shape[0])
        x = across_frames(x, self.entry_heads, "entry_temporal")

        last = len(self.multipliers) - 1
        skips = [x]
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.blocks):
                x = residual(x, self.width * multiplier, f"down_{level}_{i}_residual")
                if level in self.attention_levels:
                    x = attentions(x, f"down_{level}_{i}")
                skips.append(x)
            if level < last:
                x = layout.gathering(Downsample)(self.dtype, layout, name=f"down_{level}_sample")(x)
                skips.append(x)

        x = residual(x, x.shape[-1], "middle_0_residual")
        x = attentions(x, "middle")
        x = residual(x, x.shape[-1], "middle_1_residual")

        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for i in range(self.blocks + 1):
                x = jnp.concatenate([x, skips.pop()], -1)
                x = residual(x, self.width * multiplier, f"up_{level}_{i}_residual")
                if level in self.attention_levels:
                    x = attentions(x, f"up_{level}_{i}")
            if level > 0:
                x = layout.gathering(Upsample)(self.dtype, layout, name=f"up_{level}_sample")(x)

        x = nn.silu(GroupNorm(self.groups, dtype=self.dtype, name="head_norm")(layout.merged(x)))
        x = conv3x3(self.latent_channels, self.dtype, "head_conv", zero=True)(x)
        return layout.apart(x, z.shape[0]).astype(jnp.promote_types(self.dtype, jnp.float32))

    def _kind(self, block: type[nn.Module], kind: Rematerialised, static: tuple[int, ...] = ()):
        if kind in self.rematerialised:
            return nn.remat(block, static_argnums=static)
        return block

    def _embed_time(self, t: Array, numbers: Int[Array, "#B F"]) -> Float[Array, "B #F E"]:
        """Sinusoids of the timestep (cosines first), then two layers; 4 x width, the same (F is 1) or not for all frames."""
        embedding = sinusoids(t, self.width).astype(self.dtype)
        embedding = nn.silu(dense(4 * self.width, self.dtype, "time_0")(embedding))
        embedding = dense(4 * self.width, self.dtype, "time_1")(embedding)[:, None]
        if self.frame_numbers:
            told = sinusoids(numbers, self.width).astype(self.dtype)
            embedding += dense(4 * self.width, self.dtype, "frame_number", zero=True)(told)
        return embedding

    def _check_size(self, shape: tuple[int, ...]) -> None:
        for level, multiplier in enumerate(self.multipliers):
            channels = self.width * multiplier
            attends = level in self.attention_levels or level == len(self.multipliers) - 1
            if channels % self.groups or (attends and channels < self.head_size):
                raise BadInput(
                    f"a UNet with {channels} channels at level {level} cannot have {self.groups} groups and heads of "
                    f"{self.head_size}: channels must be a multiple of groups, and fill a head where there is attention"
                )
        height, width = shape[2:4]
        factor = 2 ** (len(self.multipliers) - 1)
        if height % factor or width % factor:
            raise BadInput(
                f"latents of {height}x{width} cannot be halved {len(self.multipliers) - 1} times: "
                f"height and width must be multiples of {factor}"
            )
