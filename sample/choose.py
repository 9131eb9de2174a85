"""Draws one value of a field from its logits. Letters: b sequences, v values.

All knobs are traced numbers: another temperature does not compile another function.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Knobs(NamedTuple):
    """How bold the choice is, for each sequence."""

    temperature: Float[Array, " b"]
    top_k: Int[Array, " b"]
    """Keep the k likeliest values; 0 keeps all."""
    top_p: Float[Array, " b"]
    """Keep the likeliest values that together reach this probability (nucleus sampling, Holtzman et al. 2020)."""
    min_p: Float[Array, " b"]
    """Keep the values that are at least this share as likely as the likeliest (Nguyen et al. 2024)."""


def choose(
    logits: Float[Array, "b v"], allowed: Bool[Array, "b v"], uniform: Float[Array, " b"], knobs: Knobs
) -> Int[Array, " b"]:
    """Returns one allowed value for each sequence, by inverting the cumulative distribution at `uniform` in [0, 1)."""
    logits = jnp.where(allowed, logits / knobs.temperature[:, None], -jnp.inf)
    is_cut = jnp.any((knobs.top_k > 0) | (knobs.top_p < 1))
    logits = jax.lax.cond(is_cut, lambda x: _cut(x, knobs), lambda x: x, logits)
    weights = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    weights = jnp.where(weights < knobs.min_p[:, None], 0.0, weights)
    return _invert(weights, uniform)


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


def _cut(logits: Float[Array, "b v"], knobs: Knobs) -> Float[Array, "b v"]:
    """Removes all but the likeliest values; the likeliest one and its equals always stay.

    Values are compared with each other, not sorted: XLA takes many times longer to compile a sort.
    """
    top_k, top_p = knobs.top_k[:, None], knobs.top_p[:, None]
    likelier_bvw = logits[:, None, :] > logits[:, :, None]
    in_k = (jnp.sum(likelier_bvw, axis=2) < top_k) | (top_k == 0)
    weights = jnp.where(in_k, jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True)), 0.0)
    weight_above = jnp.sum(jnp.where(likelier_bvw, weights[:, None, :], 0.0), axis=2)
    total = _products(weights, jnp.ones((weights.shape[1], 16), bool))[:, :1]  # jnp.sum: another order in blocks of 32
    in_p = (weight_above < top_p * total) | (top_p >= 1)
    return jnp.where(in_k & in_p, logits, -jnp.inf)
