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
    copy_bias: Float[Array, " b"]
    """Nats that are added to the weights of copies, where there is a copy gate."""


def choose(
    logits: Float[Array, "b v"], allowed: Bool[Array, "b v"], uniform: Float[Array, " b"], params: SamplingParams
) -> Int[Array, " b"]:
    """Returns one allowed value for each sequence, by inverting the cumulative distribution at `uniform` in [0, 1)."""
    kept = most_probable_if_greedy(values_kept(logits, allowed, params), params)
    return draw_from(kept, jnp.where(params.temperature <= 0, 0, uniform))


def values_kept(
    logits: Float[Array, "b v"], allowed: Bool[Array, "b v"], params: SamplingParams
) -> Float[Array, "b v"]:
    """Returns what is left of the distribution, not normalised: 0 for what is not allowed or cut off.

    A temperature of 0 leaves it as it is: `most_probable_if_greedy` comes last.
    """
    temperature = jnp.where(params.temperature <= 0, 1, params.temperature)
    logits = jnp.where(allowed, logits / temperature[:, None], -jnp.inf)
    is_cut = jnp.any((params.top_k > 0) | (params.top_p < 1))
    logits = jax.lax.cond(is_cut, lambda x: top_k_top_p(x, params.top_k, params.top_p), lambda x: x, logits)
    weights = jnp.exp(logits - jnp.max(logits, axis=1, keepdims=True))
    return jnp.where(weights < params.min_p[:, None], 0.0, weights)


def most_probable_if_greedy(weights: Float[Array, "b v"], params: SamplingParams) -> Float[Array, "b v"]:
    """Returns the weights, where the temperature is 0 only the largest ones."""
    is_less = weights < jnp.max(weights, axis=1, keepdims=True)
    return jnp.where((params.temperature <= 0)[:, None] & is_less, 0.0, weights)


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


def draw_from(weights: Float[Array, "b v"], uniform: Float[Array, " b"]) -> Int[Array, " b"]:
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


def log_sum_exp(logits_bv: Float[Array, "b v"]) -> Float[Array, " b"]:
    """Returns log(sum(exp(logits))), of which one at least is finite."""
    most_b = jnp.max(logits_bv, axis=1)
    return most_b + jnp.log(row_sums(jnp.exp(logits_bv - most_b[:, None]))[:, 0])


def row_sums(x_bv: Float[Array, "b v"]) -> Float[Array, "b 1"]:
    """Returns the sum of each row, by a matrix product, several times the same.

    `jnp.sum` adds in another order in blocks of 32.
    """
    ones = jnp.ones((x_bv.shape[1], 16))
    return jnp.matmul(x_bv, ones, precision=jax.lax.Precision.HIGHEST)[:, :1]
