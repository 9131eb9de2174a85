"""What decides about the music: random numbers that depend on seed, piece, candidate, step and field alone.

Letters: p pieces, b sequences of a block, t steps, f fields.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from ostinato.configs.schema import SampleConfig
from ostinato.music.codec import Codec

_CANDIDATES = 2**31
"""Candidates after the first one have the keys of step numbers that no piece reaches."""


def piece_keys(
    config: SampleConfig, numbers: Int[np.ndarray, " p"], candidates: Int[np.ndarray, " p"] | int = 0
) -> Key[Array, " p"]:
    """Returns the key of candidates of pieces; that of the first candidate does not depend on best_of."""
    candidates = np.broadcast_to(candidates, numbers.shape)
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(config.seed), jnp.asarray(numbers))
    others = jax.vmap(jax.random.fold_in)(keys, jnp.asarray(_CANDIDATES + candidates, jnp.uint32))
    return jnp.where(jnp.asarray(candidates == 0), keys, others)


def draw(codec: Codec, keys: Key[Array, " b"], steps: Int[Array, " t"]) -> Float[Array, "t b f"]:
    """Returns what decides the fields of each sequence at each step since it began, uniform in [0, 1)."""

    def of_row(key: Key[Array, ""], step: Int[Array, ""]) -> Float[Array, " f"]:
        return jax.random.uniform(jax.random.fold_in(key, step), (len(codec.fields),))

    return jax.vmap(jax.vmap(of_row, (0, None)), (None, 0))(keys, steps)
