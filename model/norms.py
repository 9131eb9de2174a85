"""Normalisation over the last axis, of which each row has the same bits in batches of all sizes on a CPU."""

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from ostinato.model.backend import platform


def rms_norm(x: Float[Array, "*n d"], scale: Float[Array, " d"]) -> Float[Array, "*n d"]:
    """Returns x divided by the root of its mean square over d, times the scale of each feature."""
    return x * inverse_rms(x) * jnp.expand_dims(scale, tuple(range(x.ndim - 1)))


def inverse_rms(x: Float[Array, "*n d"]) -> Float[Array, "*n 1"]:
    """Returns one over the root of the mean square of x over d."""
    return lax.rsqrt(mean(x * x) + 1e-5)


def mean(x: Float[Array, "*n d"]) -> Float[Array, "*n 1"]:
    """Returns the mean of x over d."""
    if platform() != "cpu":
        return jnp.mean(x, axis=-1, keepdims=True)
    # A matrix product, several times the same: `jnp.mean` adds in another order in blocks of 32 rows, and the sampler
    # writes the same music in blocks of all sizes. On accelerators its blocks have one size, and a product would be one
    # more that reads all of x.
    ones = jnp.full((x.shape[-1], 16), 1 / x.shape[-1], x.dtype)
    return jnp.matmul(x, ones, precision=lax.Precision.HIGHEST)[..., :1]
