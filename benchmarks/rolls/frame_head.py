"""Column A: 88 independent Bernoulli outputs a frame.

Axes: t time step, b row, k key, h hidden.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Key, UInt8

from ostinato.benchmarks.rolls.read import NUM_KEYS


class FrameHead(NamedTuple):
    """logits = features @ kernel + bias."""

    kernel: Float[Array, "h k"]
    bias: Float[Array, " k"]


def init_frame_head(key: Key[Array, ""], hidden_size: int) -> FrameHead:
    """Returns a new head."""
    return FrameHead(jax.nn.initializers.lecun_normal()(key, (hidden_size, NUM_KEYS)), jnp.full(NUM_KEYS, -3.0))


def frame_nll(
    head: FrameHead, features_tbh: Float[Array, "t b h"], targets_tbk: UInt8[Array, "t b k"]
) -> Float[Array, "t b"]:
    """Returns the nats of every frame, summed over its keys."""
    logits = features_tbh @ head.kernel + head.bias[None, None]
    return bernoulli_nll(logits, targets_tbk)


def bernoulli_nll(logits: Float[Array, "*n k"], targets: UInt8[Array, "*n k"]) -> Float[Array, "*n"]:
    """Returns the sum over the keys of -log p, in nats, where p(on) = sigmoid(logit)."""
    return jnp.sum(jax.nn.softplus(logits) - targets.astype(logits.dtype) * logits, axis=-1)
