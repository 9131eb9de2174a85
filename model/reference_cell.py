"""The recurrent layers in plain words, as textbooks write them: what model/recurrent.py computes faster.

Only tests run this. Axes, parameters, order of the gates and the carry are those of model/recurrent.py, for the mLSTM
those of model/mlstm.py. Its memory here is C and n themselves, without a stabiliser: exp(100) is a float64.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from ostinato.configs.schema import CellName
from ostinato.model.mlstm import TAPS, MLSTMParams
from ostinato.model.recurrent import LayerParams, State


def reference_step(cell: CellName, x_bd: Float[Array, "b d"], params: LayerParams, carry: State) -> State:
    """Returns the carry after one step."""
    h = carry[-1]
    x = x_bd @ params.kernel + params.bias[None]
    u = h @ params.recurrent_kernel
    if cell == "lstm":
        i, f, g, o = jnp.split(x + u, 4, axis=-1)
        c = jax.nn.sigmoid(f) * carry[0] + jax.nn.sigmoid(i) * jnp.tanh(g)
        return c, jax.nn.sigmoid(o) * jnp.tanh(c)
    if cell == "gru":
        assert params.recurrent_bias is not None
        (x_r, x_z, x_n), (u_r, u_z, u_n) = jnp.split(x, 3, axis=-1), jnp.split(u, 3, axis=-1)
        r, z = jax.nn.sigmoid(x_r + u_r), jax.nn.sigmoid(x_z + u_z)
        n = jnp.tanh(x_n + r * (u_n + params.recurrent_bias[None]))
        return ((1 - z) * n + z * h,)
    return (jnp.tanh(x + u),)


def reference_layer(
    cell: CellName, x_tbd: Float[Array, "t b d"], params: LayerParams, starts_tb: Bool[Array, "t b"], carry: State
) -> tuple[Float[Array, "t b h"], State]:
    """Returns h after every step and the last carry; where `starts_tb` is True the carry is zero before the step."""

    def step(carry: State, inputs: tuple[Array, Array]) -> tuple[State, Array]:
        x_bd, start_b = inputs
        carry = tuple(jnp.where(start_b[:, None], 0, state) for state in carry)
        carry = reference_step(cell, x_bd, params, carry)
        return carry, carry[-1]

    last, h_tbh = jax.lax.scan(step, carry, (x_tbd, starts_tb))
    return h_tbh, last


def reference_mlstm(
    x_tbd: Float[Array, "t b d"], params: MLSTMParams, starts_tb: Bool[Array, "t b"], carry: State
) -> tuple[Float[Array, "t b o"], State]:
    """Returns y after every step of an mLSTM and the last carry, which is (C, n, tail)."""

    def step(carry: State, inputs: tuple[Array, Array]) -> tuple[State, Array]:
        x_bd, start_b = inputs
        carry = tuple(jnp.where(start_b.reshape(-1, *[1] * (a.ndim - 1)), 0, a) for a in carry)
        y, carry = _reference_mlstm_step(x_bd, params, carry)
        return carry, y

    last, y_tbo = jax.lax.scan(step, carry, (x_tbd, starts_tb))
    return y_tbo, last


def _reference_mlstm_step(x_bd: Array, params: MLSTMParams, carry: State) -> tuple[Array, State]:
    c, n, tail = carry
    batch, heads, key = n.shape
    inner, z = jnp.split(x_bd @ params.up_projection, 2, axis=-1)
    window = jnp.concatenate([tail, inner[:, None]], axis=1)
    convolved = jax.nn.silu(jnp.einsum("bwe,we->be", window, params.conv_kernel) + params.conv_bias[None])
    qk = jnp.einsum("bhv,hvk->bhk", convolved.reshape(batch, heads, -1), params.query_key)
    gates = jnp.concatenate([qk.reshape(batch, -1), inner], axis=1) @ params.gate_kernel + params.gate_bias[None]
    i, f = jnp.exp(gates[:, :heads, None]), jax.nn.sigmoid(gates[:, heads:, None])
    q, k, v = qk[..., :key] / key**0.5, qk[..., key:], inner.reshape(batch, heads, -1)
    c = f[..., None] * c + (i * k)[..., None] * v[:, :, None]
    n = f * n + i * k
    memory = jnp.einsum("bhkv,bhk->bhv", c, q) / jnp.maximum(jnp.abs((n * q).sum(-1)), 1)[..., None]
    memory = (memory - memory.mean(-1, keepdims=True)) / jnp.sqrt(memory.var(-1, keepdims=True) + 1e-5)
    out = memory.reshape(batch, -1) * params.head_norm[None] + params.skip[None] * convolved
    return (out * jax.nn.silu(z)) @ params.down_projection, (c, n, window[:, -TAPS + 1 :])
