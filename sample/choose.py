"""Draws one value of a field from its logits. Letters: b sequences, v values.

All parameters are traced numbers: another temperature does not compile another function.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class SamplingParams(NamedTuple):
    """How the logits of each sequence are drawn from."""

    temperature: Float[Array, " b"]
    """0 always takes the most probable value; of several the first."""
    top_k: Int[Array, " b"]
    """Keep the k most probable values; 0 keeps all."""
    top_p: Float[Array, " b"]
    """Keep the most probable values that together reach this probability (nucleus sampling, Holtzman et al. 2020)."""
    min_p: Float[Array, " b"]
    """Keep the values that are at least this share as probable as the most probable (Nguyen et al. 2024)."""


def choose(
    logits: Float[Array, "b v"], allowed: Bool[Array, "b v"], uniform: Float[Array, " b"], params: SamplingParams
) -> Int[Array, " b"]:
    """Returns one allowed value for each sequence, by inverting the cumulative distribution at `uniform` in [0, 1)."""
    is_greedy = params.temperature <= 0
    temperature = jnp.where(is_greedy, 1, params.temperature)
    logits = jnp.where(allowed, logits / temperature[:, None], -jnp.inf)
    is_cut = jnp.any((params.top_k > 0) | (params.top_p < 1))
    logits = jax.lax.cond(is_cut, lambda x: top_k_top_p(x, params.top_k, params.top_p), lambda x: x, logits)
    weights = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    least = jnp.where(is_greedy, 1, params.min_p)
    weights = jnp.where(weights < least[:, None], 0.0, weights)
    return _invert(weights, jnp.where(is_greedy, 0, uniform))


def top_k_top_p(logits: Float[Array, "b v"], top_k: Int[Array, " b"], top_p: Float[Array, " b"]) -> Float[Array, "b v"]:
    """Returns the logits with -inf for all but the k largest, and of those the fewest that reach the probability p.

    Values that are as probable as the last one kept stay too.
    """
    num_values = logits.shape[1]
    descending, _ = jax.lax.top_k(logits, num_values)
    kth = jnp.take_along_axis(descending, jnp.clip(top_k, 1, num_values)[:, None] - 1, axis=1)
    lowest = jnp.where(top_k[:, None] > 0, kth, -jnp.inf)
    weights = jnp.where(descending >= lowest, jnp.exp(descending - descending[:, :1]), 0.0)
    sums = jnp.cumsum(weights, axis=1)
    before = jnp.pad(sums[:, :-1], ((0, 0), (1, 0)))
    num_kept = jnp.sum(before < top_p[:, None] * sums[:, -1:], axis=1, keepdims=True)
    last_kept = jnp.take_along_axis(descending, num_kept - 1, axis=1)
    lowest = jnp.where(top_p[:, None] < 1, jnp.maximum(lowest, last_kept), lowest)
    return jnp.where(logits >= lowest, logits, -jnp.inf)


def _invert(weights: Float[Array, "b v"], uniform: Float[Array, " b"]) -> Int[Array, " b"]:
    """Returns the first value up to which the weights sum to more than the share `uniform` of all; never one without.

    First a group of values is found, then one of it. The sums are two small matrix products: XLA:CPU has no cumulative
    sum as fast, and one of all values would be a large product.
    """
    num_values = weights.shape[1]
    size = math.isqrt(num_values - 1) + 1
    value = jnp.arange(num_values)
    group, place = value // size, value % size
    group_end = _products(weights, group[:, None] <= jnp.arange(-(-num_values // size))[None, :])
    target = uniform * group_end[:, -1]
    chosen = jnp.sum(group_end <= target[:, None], axis=1)[:, None]
    is_chosen = group[None, :] == chosen
    is_before = jnp.arange(group_end.shape[1])[None, :] < chosen
    before = jnp.max(jnp.where(is_before, group_end, 0), axis=1, keepdims=True)
    inside = _products(jnp.where(is_chosen, weights, 0), place[:, None] <= jnp.arange(size)[None, :])
    is_above = jnp.repeat((before + inside > target[:, None])[:, None, :], -(-num_values // size), axis=1)
    is_above = is_above.reshape(len(weights), -1)[:, :num_values]
    is_left = weights > 0
    first = jnp.min(jnp.where(is_left & is_chosen & is_above, value[None, :], num_values), axis=1)
    # Rounding may leave nothing above: take the last value of all then.
    return jnp.minimum(first, jnp.max(jnp.where(is_left, value[None, :], 0), axis=1)).astype(jnp.int32)


def _products(weights: Float[Array, "b v"], is_counted: Bool[Array, "v w"]) -> Float[Array, "b w"]:
    """Returns the sums of the weights that are counted."""
    return jnp.matmul(weights, is_counted.astype(weights.dtype), precision=jax.lax.Precision.HIGHEST)
