"""A causal transformer block with a sliding window: what other networks are compared with, at the same interface.

Axes: t steps of a chunk, m remembered steps, s = m + t steps that may be seen, b batch, d width, n heads, k = d / n.

    q, k, v = x @ kernel                            [d, 3 d]     q and k are rotated by their places (Su et al. 2021)
    a       = softmax(q k' / sqrt(k)) v @ out       [d, d]       each step sees itself and the m before it
    y       = a + gelu(rms(x + a) @ up) @ down      [d], [d, 4 d], [4 d, d]

x is what the network has normalised (norm "pre"), so this is a pre-norm block but that its second half adds x and not
the residual stream to what attention found. The state of a layer is (keys, values, is_there): those of the last m
steps, [b, m, d] each, not rotated, and 1 where there is one, [b, m]. As in Transformer-XL (Dai et al. 2019) no gradient
goes into what an earlier chunk left, and nothing is seen over the start of a piece.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import Bool, Float

from ostinato.configs.schema import ModelConfig, Precision
from ostinato.model.norms import mean, rms_norm
from ostinato.model.recurrent import State, multiply

_SLOWEST = 10_000.0
"""The wavelength of the slowest rotation, in steps, by 2 pi."""
_NEVER = -1e30


class TransformerParams(NamedTuple):
    """Parameters of one block; the module docstring says what they do."""

    kernel: Float[Array, "d g"]
    out: Float[Array, "d d"]
    norm: Float[Array, " d"]
    up: Float[Array, "d e"]
    down: Float[Array, "e d"]


def empty_memory(config: ModelConfig, batch_size: int) -> State:
    """Returns the state of a block before the first step."""
    steps = jnp.zeros((batch_size, config.memory_size, config.hidden_size))
    return steps, steps, jnp.zeros((batch_size, config.memory_size))


def transformer_block(
    x_tbd: Float[Array, "t b d"],
    qkv_tbg: Float[Array, "t b g"],
    params: TransformerParams,
    starts_tb: Bool[Array, "t b"],
    state: State,
    num_heads: int,
    precision: Precision = "float32",
) -> tuple[Float[Array, "t b d"], State]:
    """Returns y at every step, and the state after the last.

    Where `starts_tb` is True nothing before that step is seen from then on.

    Args:
        x_tbd: the input.
        qkv_tbg: the input times the kernel.
        params: of the block.
        starts_tb: where pieces begin.
        state: before the first step.
        num_heads: which divide d.
        precision: of the products with parameters.
    """
    q, k, v = jnp.split(qkv_tbg, 3, axis=-1)
    keys, values = (jnp.concatenate([jnp.swapaxes(old, 0, 1), new]) for old, new in zip(state[:2], (k, v), strict=True))
    num_remembered, length = state[2].shape[1], len(x_tbd)
    piece_tb = jnp.cumsum(starts_tb, axis=0, dtype=jnp.int32)
    # What is remembered is of the piece in which the chunk begins: number 0.
    piece_sb = jnp.concatenate([jnp.where(state[2].T > 0, 0, -1), piece_tb])
    age_ts = num_remembered + np.arange(length)[:, None] - np.arange(num_remembered + length)
    in_window_ts = jnp.asarray((age_ts >= 0) & (age_ts <= num_remembered))
    is_seen_bts = in_window_ts[None] & (piece_tb.T[:, :, None] == piece_sb.T[:, None])

    places = np.arange(num_remembered + length)
    found = _attend(_rotated(q, places[num_remembered:], num_heads), _rotated(keys, places, num_heads),
                    values.reshape(*values.shape[:2], num_heads, -1), is_seen_bts)  # fmt: skip
    a: Array = multiply(precision, found.reshape(x_tbd.shape), params.out)
    inner: Array = multiply(precision, rms_norm(x_tbd + a, params.norm), params.up)
    outer: Array = multiply(precision, jax.nn.gelu(inner), params.down)
    is_there_sb = (piece_sb[length:] == piece_tb[-1:]).astype(jnp.float32)
    return a + outer, (*(jnp.swapaxes(each[length:], 0, 1) for each in (keys, values)), is_there_sb.T)


def _rotated(x_sbd: Array, places: np.ndarray, num_heads: int) -> Float[Array, "s b n k"]:
    """Returns the heads of x, of which each pair of features (j, j + k / 2) is turned by its place."""
    x = x_sbd.reshape(*x_sbd.shape[:2], num_heads, -1)
    half = x.shape[-1] // 2
    angle = places[:, None] * _SLOWEST ** -(np.arange(half) / half)
    cos, sin = (jnp.asarray(f(angle), x.dtype)[:, None, None] for f in (np.cos, np.sin))
    one, other = x[..., :half], x[..., half:]
    return jnp.concatenate([one * cos - other * sin, one * sin + other * cos], axis=-1)


def _attend(
    q: Float[Array, "t b n k"],
    k: Float[Array, "s b n k"],
    v: Float[Array, "s b n k"],
    is_seen_bts: Bool[Array, "b t s"],
) -> Float[Array, "t b n k"]:
    q = q * q.shape[-1] ** -0.5
    if len(q) == 1:  # one number after the other, so that each piece has the same bits in batches of all sizes
        scores = jnp.moveaxis(q.shape[-1] * mean(q * k), 0, -1)[..., 0, :]  # [b, n, s]
        weights = jax.nn.softmax(jnp.where(is_seen_bts, scores, _NEVER), axis=-1)
        return jnp.sum(jnp.moveaxis(weights, -1, 0)[..., None] * v, axis=0, keepdims=True)
    scores = jnp.einsum("tbnk,sbnk->bnts", q, k)
    weights = jax.nn.softmax(jnp.where(is_seen_bts[:, None], scores, _NEVER), axis=-1)
    return jnp.einsum("bnts,sbnk->tbnk", weights, v)
