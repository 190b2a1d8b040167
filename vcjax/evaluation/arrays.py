"""Array types that the metrics accept: JAX or NumPy."""

import jax
import numpy as np

AnyArray = jax.Array | np.ndarray
