"""Draws one value of a field from its logits. Letters: b sequences, v values.

All knobs are traced numbers: another temperature does not compile another function.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Knobs(NamedTuple):
    """How bold the choice is."""

    temperature: Float[Array, ""]
    top_k: Int[Array, ""]
    """Keep the k likeliest values; 0 keeps all."""
    top_p: Float[Array, ""]
    """Keep the likeliest values that together reach this probability (nucleus sampling, Holtzman et al. 2020)."""


def choose(
    logits: Float[Array, "b v"], allowed: Bool[Array, "b v"], uniform: Float[Array, " b"], knobs: Knobs
) -> Int[Array, " b"]:
    """Returns one allowed value for each sequence, by inverting the cumulative distribution at `uniform` in [0, 1)."""
    logits = jnp.where(allowed, logits / knobs.temperature, -jnp.inf)
    is_cut = (knobs.top_k > 0) | (knobs.top_p < 1)
    logits = jax.lax.cond(is_cut, lambda x: _cut(x, knobs), lambda x: x, logits)
    weights = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    cumulative = jnp.cumsum(weights, axis=1)
    above = cumulative > uniform[:, None] * cumulative[:, -1:]
    # A product that rounds up to the whole sum leaves nothing above it: take the likeliest value then.
    value = jnp.where(jnp.any(above, axis=1), jnp.argmax(above, axis=1), jnp.argmax(logits, axis=1))
    return value.astype(jnp.int32)


def _cut(logits: Float[Array, "b v"], knobs: Knobs) -> Float[Array, "b v"]:
    """Removes all but the likeliest values; the likeliest one and its equals always stay.

    Values are compared with each other, not sorted: XLA takes many times longer to compile a sort.
    """
    likelier_bvw = logits[:, None, :] > logits[:, :, None]
    in_k = (jnp.sum(likelier_bvw, axis=2) < knobs.top_k) | (knobs.top_k == 0)
    weights = jnp.where(in_k, jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True)), 0.0)
    weight_above = jnp.sum(jnp.where(likelier_bvw, weights[:, None, :], 0.0), axis=2)
    in_p = weight_above < knobs.top_p * jnp.sum(weights, axis=1, keepdims=True)
    return jnp.where(in_k & in_p, logits, -jnp.inf)
