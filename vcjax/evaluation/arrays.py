"""What all measures take: arrays of JAX or numpy."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
