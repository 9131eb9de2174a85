"""Column B: the keys of a frame one after the other, from low to high, and an end mark.

P(set of keys) is the product over its keys in ascending order, and the end mark after them, of a softmax over the keys
above the last one and the mark. Every set has one such order, and each softmax is normalised over what may follow, so
the probabilities of all 2^k sets add up to 1.

Axes: n frames, m choices (the keys of all frames and their end marks), k key, h hidden, s head, v = k + 1 what may be
chosen.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Float, Int, Key, UInt8

from ostinato.model.layers import dropout


class Choices(NamedTuple):
    """All choices of some frames, and padding behind them."""

    frame_m: Int[Array | np.ndarray, " m"]
    """The number of the frame."""
    chosen_m: Int[Array | np.ndarray, " m"]
    """The key, or `num_keys` for the end mark."""
    above_m: Int[Array | np.ndarray, " m"]
    """The key chosen before, or -1: only keys above it and the end mark may follow."""
    weight_m: Float[Array | np.ndarray, " m"]
    """0 for padding and for frames that do not count."""


class ChordHead(NamedTuple):
    """Logits of a choice: gelu(features + frame before + keys chosen so far, each times its kernel) @ output + bias."""

    feature_kernel: Float[Array, "h s"]
    before_kernel: Float[Array, "k s"]
    chosen_kernel: Float[Array, "k s"]
    bias: Float[Array, " s"]
    output_kernel: Float[Array, "s v"]
    output_bias: Float[Array, " v"]


def init_chord_head(key: Key[Array, ""], hidden_size: int, head_size: int, num_keys: int) -> ChordHead:
    """Returns a new head."""
    keys = jax.random.split(key, 4)
    init = jax.nn.initializers.lecun_normal()
    return ChordHead(
        feature_kernel=init(keys[0], (hidden_size, head_size)),
        before_kernel=init(keys[1], (num_keys, head_size)),
        chosen_kernel=init(keys[2], (num_keys, head_size)),
        bias=jnp.zeros(head_size),
        output_kernel=init(keys[3], (head_size, num_keys + 1)),
        output_bias=jnp.zeros(num_keys + 1),
    )


def list_choices(targets_nk: UInt8[np.ndarray, "n k"], real_n: np.ndarray, room: int = 0) -> Choices:
    """Returns the choices that make up the frames; with padding up to `room` of them, if that is more."""
    num_frames, num_keys = targets_nk.shape
    marked = np.concatenate([targets_nk, np.ones((num_frames, 1), np.uint8)], axis=1)
    marked = marked * real_n[:, None].astype(np.uint8)
    frame_m, chosen_m = np.nonzero(marked)  # row by row, so ascending within a frame
    above_m = np.concatenate([[-1], chosen_m[:-1]])
    above_m[above_m == num_keys] = -1  # the end mark was the last choice of the frame before
    padding = (0, max(room - len(frame_m), 0))
    return Choices(
        np.pad(frame_m, padding).astype(np.int32),
        np.pad(chosen_m, padding).astype(np.int32),
        np.pad(above_m, padding, constant_values=-1).astype(np.int32),
        np.pad(np.ones(len(frame_m), np.float32), padding),
    )


def choice_nll(
    head: ChordHead,
    features_nh: Float[Array, "n h"],
    before_nk: UInt8[Array, "n k"],
    targets_nk: UInt8[Array, "n k"],
    choices: Choices,
    *,
    dropped: float = 0.0,
    key: Key[Array, ""] | None = None,
) -> Float[Array, " m"]:
    """Returns the nats of every choice; times `weight_m`, they add up to those of the frames.

    With a key, the share `dropped` of the hidden units is set to zero.
    """
    num_keys = targets_nk.shape[1]
    parts_ns = features_nh @ head.feature_kernel + before_nk.astype(jnp.float32) @ head.before_kernel + head.bias[None]
    keys_k = jnp.arange(num_keys)
    so_far_mk = jnp.where(keys_k[None] < choices.chosen_m[:, None], targets_nk[choices.frame_m], 0)
    hidden_ms = jax.nn.gelu(parts_ns[choices.frame_m] + so_far_mk.astype(jnp.float32) @ head.chosen_kernel)
    if key is not None and dropped > 0:
        hidden_ms = dropout(key[None], hidden_ms[:, None], dropped)[:, 0]
    logits_mv = hidden_ms @ head.output_kernel + head.output_bias[None]
    allowed_mv = jnp.arange(num_keys + 1)[None] > choices.above_m[:, None]
    logits_mv = jnp.where(allowed_mv, logits_mv, -jnp.inf)
    chosen_mv = jnp.arange(num_keys + 1)[None] == choices.chosen_m[:, None]
    return jax.nn.logsumexp(logits_mv, axis=-1) - jnp.sum(jnp.where(chosen_mv, logits_mv, 0), axis=-1)
