"""Task consistency: distillation of a trained UNet to one that samples in few steps, with guidance distilled in.

Latent consistency distillation (arXiv 2310.04378, section 4; VideoLCM, arXiv 2312.09109) with all conditions: the student
at z_t must agree with itself at z_s, where the teacher's guided DDIM step leads.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from vcjax.diffusion.guidance import combine
from vcjax.diffusion.lcm import boundary
from vcjax.diffusion.objective import alpha_sigma, q_sample, to_x0_and_epsilon
from vcjax.training.config import Distillation, Dropout, Stage
from vcjax.training.diffusion_task import DiffusionTask
from vcjax.training.dropout import draw_keep_masks
from vcjax.training.loss_weighting import timestep_buckets
from vcjax.training.task import Batch, Loss
from vcjax.weights.networks import apply
from vcjax.weights.trees import Tree


class ConsistencyTask(DiffusionTask):
    """Trains the component `unet`; encoders of conditions are the teacher's.

    Args:
        *args: see `DiffusionTask`.
        distillation: steps and guidance of the teacher, see `vcjax.training.config.Distillation`.
        **options: see `DiffusionTask`.
    """

    allow_missing: tuple[str, ...] = ()

    def __init__(self, *args: Any, distillation: Distillation, **options: Any):
        super().__init__(*args, **options)
        self._distillation = distillation

    def frozen(self) -> Tree:
        """Return the frozen networks of `DiffusionTask`, and the teacher's UNet as `teacher`."""
        return {**super().frozen(), "teacher": self.composer.parameters("unet")}

    def loss(self, parameters: Tree, frozen: Tree, batch: Batch, key: PRNGKeyArray, stage: Stage) -> Loss:
        """Return the pseudo-Huber distance of the student at z_t and at the teacher's z_s (arXiv 2310.14189, section 3.2).

        The target is the student's own, without gradient and without a moving average (section 3.3 there).
        """
        keys = jax.random.split(key, 6)
        parameters = self.in_compute_type(parameters)
        clips = self.source.training_batch(batch, keys[0])
        x0 = self.encode(frozen, clips, keys[1])
        count, schedule = x0.shape[0], self.composer.schedule
        interval = schedule.timesteps // self._distillation.steps
        t = interval * jax.random.randint(keys[2], (count,), 1, self._distillation.steps + 1) - 1
        z = q_sample(x0, jax.random.normal(keys[3], x0.shape), t, schedule)
        keep_masks = draw_keep_masks(
            keys[4], stage.dropout, stage.condition_names(self.composer.conditions), count
        )
        maps = self.maps(parameters, clips, keep_masks, keys[5])
        given = self.tokens(parameters, frozen, clips, keep_masks, stage.dropout, keys[5])
        # The negative branch is a request's by default: all but text and style.
        none = {name: keep & (name in self._maps) for name, keep in keep_masks.items()}
        empty = Dropout(text="empty", style="absent")
        null = self.tokens(parameters, frozen, clips, none, empty, keys[5])

        def student(parameters: Tree, z: Array, t: Array) -> Array:
            return self._end(z, t, apply(self._unet, parameters, z, t, maps, *given))

        both = (
            jnp.concatenate(pair) for pair in ((z, z), (t, t), (maps, maps), *zip(null, given, strict=True))
        )
        negative, positive = jnp.split(apply(self._unet, frozen["teacher"], *both), 2)
        guided = combine((negative, positive), jnp.array([self._distillation.guidance]))
        s = jnp.maximum(t - interval, 0)
        z_s = lax.stop_gradient(self._ddim(z, t, s, guided))
        target = lax.stop_gradient(student(parameters["unet"], z_s, s))
        axes = tuple(range(1, x0.ndim))
        distances = jnp.square(student(parameters["unet"], z, t) - target).mean(axes)
        huber = self._distillation.huber
        errors = jnp.sqrt(distances + huber**2) - huber
        groups: Mapping[str, Array] = timestep_buckets(t, schedule.timesteps)
        return Loss(
            value=errors.mean(),
            sums={name: (errors * members).sum() for name, members in groups.items()},
            counts={name: members.sum() for name, members in groups.items()},
        )

    def _end(self, z: Array, t: Int[Array, "B"], out: Array) -> Float[Array, "B F h w c"]:
        """Return the consistency function, see `vcjax.diffusion.lcm`."""
        x0, _ = to_x0_and_epsilon(self.composer.prediction, z, out, t, self.composer.schedule)
        table = (jnp.asarray(x, jnp.float32) for x in boundary(np.arange(self.composer.schedule.timesteps)))
        c_skip, c_out = (x[t].reshape(-1, 1, 1, 1, 1) for x in table)
        return c_skip * z + c_out * x0

    def _ddim(self, z: Array, t: Int[Array, "B"], s: Int[Array, "B"], out: Array) -> Array:
        """Return the deterministic DDIM step from t to s (arXiv 2010.02502, equation 12)."""
        x0, epsilon = to_x0_and_epsilon(self.composer.prediction, z, out, t, self.composer.schedule)
        alpha, sigma = (x.reshape(-1, 1, 1, 1, 1) for x in alpha_sigma(self.composer.schedule, s))
        return alpha * x0 + sigma * epsilon
