"""The mLSTM of xLSTM (Beck et al. 2024): a layer with a matrix for a memory, parallel over the steps of a chunk.

Axes: t and s time steps, b batch, d input, o output (the width of the residual stream), e = 2 o inner width, h heads,
k = o / h key, v = e / h value of a head, w taps of the convolution.

A block of the paper without its norm and residual, which are the network's (norm "pre"), and without biases:

    inner, z    = x @ up_projection                            [d, 2 e]
    convolved   = silu(conv_kernel * inner + conv_bias)        [w, e], [e]   causal, each feature for itself
    q, k        = convolved @ query_key, in each head          [h, v, 2 k]
    v           = inner, in heads
    i, log f    = [q, k, v] @ gate_kernel + gate_bias          [2 o + e, 2 h], [2 h]   log f = log sigmoid of the second
    C_t         = f_t C_t-1 + exp(i_t) k_t v_t'                matrix memory, [k, v]
    n_t         = f_t n_t-1 + exp(i_t) k_t                     normaliser
    memory      = C_t' q_t / max(|n_t' q_t|, 1)                with q / sqrt(k)
    y           = (norm(memory) + skip * convolved) * silu(z) @ down_projection      [e], [e], [e, o]

norm is that of each head over v, by mean and variance, times head_norm. The paper has v projected as well, in blocks
of 4; q and k in such blocks and not in whole heads, and as wide as v (xLSTM 7B: half, as here).

The state of a layer is (c, n, m, tail): c = C exp(-m) [b, h, k, v], n likewise [b, h, k], m [b, h] the stabiliser, and
the last inputs of the convolution, tail [b, w - 1, e]. m_t = max(log f_t + m_t-1, i_t, 0), so neither exp(i) nor
exp(-m) overflows, and zeros are an empty memory. What comes out does not depend on m: no gradient goes through it.

The steps of a chunk are compared pair by pair (the paper's parallel form), and all that went before is in the state, so
chunks follow one another: L steps cost L^2 for the pairs, and a chunk one product with C. A start within a chunk needs
no logarithm of zero: steps see each other, and the state, by a mask only where no start lies between.

Training keeps the input and the states between chunks, with recompute "never" the up-projection too; all else is
computed again in the backward pass, a chunk at a time. With long sequences that is less than what an LSTM of as many
parameters keeps, with those of one or two chunks it is more: docs/mlstm.md has figures.
A sequence of any length is cut into whole chunks and a rest.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Shaped

from ostinato.configs.schema import ModelConfig, Precision
from ostinato.model.backend import platform
from ostinato.model.norms import mean
from ostinato.model.recurrent import State, in_parts, multiply

TAPS = 4
EXPAND = 2
"""The inner width, in units of the output's."""

_CHUNKS = {"cpu": 32, "gpu": 128, "tpu": 128}
_SMALLEST = 1e-15
"""What a normaliser is at least where exp(-m) is less: 0 / 0 has no gradient."""
_NEVER = -1e30
"""A logarithm of zero; finite, so that differences of two of them are numbers."""


class MLSTMParams(NamedTuple):
    """Parameters of one layer; the module docstring says what they do."""

    up_projection: Float[Array, "d g"]
    conv_kernel: Float[Array, "w e"]
    conv_bias: Float[Array, " e"]
    query_key: Float[Array, "h v kk"]
    gate_kernel: Float[Array, "q hh"]
    gate_bias: Float[Array, " hh"]
    head_norm: Float[Array, " e"]
    skip: Float[Array, " e"]
    down_projection: Float[Array, "e o"]


def zero_state(config: ModelConfig, batch_size: int) -> State:
    """Returns the state of a layer before the first step."""
    heads, key, inner = config.num_heads, config.hidden_size // config.num_heads, EXPAND * config.hidden_size
    shapes = (heads, key, EXPAND * key), (heads, key), (heads,), (TAPS - 1, inner)
    return tuple(jnp.zeros((batch_size, *shape)) for shape in shapes)


def mlstm_layer(
    x_tbd: Float[Array, "t b d"],
    params: MLSTMParams,
    starts_tb: Bool[Array, "t b"],
    state: State,
    precision: Precision = "float32",
    *,
    chunk: int = 0,
    keep_projection: bool = True,
) -> tuple[Float[Array, "t b o"], State]:
    """Returns y at every step, and the state after the last.

    Where `starts_tb` is True the state is set to zero before that step. All arrays share one dtype, float32 or float64.

    Args:
        x_tbd: the input.
        params: of the layer.
        starts_tb: where pieces begin.
        state: before the first step.
        precision: of the products.
        chunk: steps that are computed side by side, at most all of them; 0 chooses.
        keep_projection: for the backward pass; otherwise it is computed again, too.
    """
    params = joined(params)
    length, project = len(x_tbd), partial(multiply, precision, kernel=params.up_projection)
    chunk = min(length, chunk or _CHUNKS[platform()])

    def run(x: Array, starts_tb: Array, state: State) -> tuple[Array, State]:
        return mlstm_chunk(x if keep_projection else project(x), params, starts_tb, state, precision)

    x = project(x_tbd) if keep_projection else x_tbd
    num_whole = length // chunk * chunk
    y, state = in_parts(run, length // chunk, x[:num_whole], starts_tb[:num_whole], state)
    if num_whole < length:
        rest, state = in_parts(run, 1, x[num_whole:], starts_tb[num_whole:], state)
        y = jnp.concatenate([y, rest])
    return y, state


def joined(params: MLSTMParams) -> MLSTMParams:
    """Returns the parameters for `mlstm_chunk`: the gates' kernel is multiplied into those that it would come after.

    So the gates are columns of two large products, and none reads again what these have made: 6 of 138 ms of a step of
    `lakh` on an H100, by the counts of `launch/plan`.
    """
    heads, value, queries_keys = params.query_key.shape
    of_qk, of_v = jnp.split(params.gate_kernel, [heads * queries_keys])
    of_qk = _product("float32", "hvk,hkg->hvg", params.query_key, of_qk.reshape(heads, queries_keys, -1))
    of_v = _product("float32", "de,eg->dg", params.up_projection[:, : heads * value], of_v)
    return params._replace(
        up_projection=jnp.concatenate([params.up_projection, of_v], axis=1),
        query_key=jnp.concatenate([params.query_key, of_qk], axis=2),
    )


def mlstm_step(
    projected_bg: Float[Array, "b g"], params: MLSTMParams, state: State, precision: Precision = "float32"
) -> tuple[Float[Array, "b o"], State]:
    """Returns y after one step and the state: a chunk of one step, by `joined` parameters."""
    no_starts = jnp.zeros((1, len(projected_bg)), bool)
    y, state = mlstm_chunk(projected_bg[None], params, no_starts, state, precision)
    return y[0], state


def mlstm_chunk(
    projected_tbg: Float[Array, "t b g"],
    params: MLSTMParams,
    starts_tb: Bool[Array, "t b"],
    state: State,
    precision: Precision,
) -> tuple[Float[Array, "t b o"], State]:
    """Returns y at every step of a chunk, and the state after the last.

    The parameters are `joined`, and so is the up-projection.
    """
    *memory, tail = state
    heads, value, _ = params.query_key.shape
    inner, z, from_v = jnp.split(projected_tbg, [heads * value, 2 * heads * value], axis=-1)
    piece_tb = jnp.cumsum(starts_tb, axis=0, dtype=jnp.int32)
    convolved, tail = _convolve(inner, tail, piece_tb, params)
    by_head = (*starts_tb.shape, heads, value)
    from_convolved = _by_heads(precision, convolved.reshape(by_head), params.query_key)
    q, k, from_qk = jnp.split(from_convolved, [value // 2, value], axis=-1)
    i, f = jnp.split(from_qk.sum(2) + from_v + params.gate_bias[None, None], 2, axis=-1)
    q = q * (value // 2) ** -0.5
    remembered, memory = _remember(precision, (q, k, inner.reshape(by_head)), (i, f), piece_tb, memory)
    normed = _normalise(remembered).reshape(inner.shape) * params.head_norm[None, None]
    y: Array = multiply(
        precision, (normed + params.skip[None, None] * convolved) * jax.nn.silu(z), params.down_projection
    )
    return y, (*memory, tail)


def _convolve(inner: Array, tail: Array, piece_tb: Array, params: MLSTMParams) -> tuple[Array, Array]:
    """Returns silu of the convolution, which does not reach back over a start, and the last inputs."""
    length = len(inner)
    inner = jnp.concatenate([jnp.swapaxes(tail, 0, 1), inner])
    piece = jnp.pad(piece_tb, [(TAPS - 1, 0), (0, 0)])
    total = params.conv_bias[None, None]
    for tap in range(TAPS):
        is_same = piece[tap : tap + length] == piece_tb
        total = (
            total + jnp.where(is_same[..., None], inner[tap : tap + length], 0) * params.conv_kernel[tap][None, None]
        )
    last = jnp.where((piece[length:] == piece[-1:])[..., None], inner[length:], 0)
    return jax.nn.silu(total), jnp.swapaxes(last, 0, 1)


def _by_heads(
    precision: Precision, convolved: Float[Array, "t b h v"], query_key: Float[Array, "h v kk"]
) -> Float[Array, "t b h kk"]:
    """Returns the queries and keys of each head, and what the gates get of it, side by side."""
    if platform() != "cpu":
        return _product(precision, "tbhv,hvk->tbhk", convolved, query_key)
    # Head by head: XLA:CPU adds up a product of several matrices at once in another order for each number of rows, and
    # the sampler writes the same music in blocks of all sizes.
    each: list[Array] = [multiply(precision, convolved[:, :, head], query_key[head]) for head in range(len(query_key))]
    return jnp.stack(each, axis=2)


def _remember(
    precision: Precision, qkv: State, gates: State, piece_tb: Array, memory: Sequence[Array]
) -> tuple[Float[Array, "t b h v"], State]:
    """Returns what each step of a chunk finds in the memory, and the memory after the last."""
    (q, k, v), (c, n, m) = qkv, memory
    i, f = (jnp.moveaxis(gate, 0, -1) for gate in gates)  # [b, h, t]
    decay = jnp.cumsum(jax.nn.log_sigmoid(f), axis=-1)
    is_first = (piece_tb == 0).T[:, None]  # [b, 1, t]
    is_seen = jnp.tril(piece_tb.T[:, :, None] == piece_tb.T[:, None])[:, None]  # [b, 1, t, s]

    log_weight = jnp.where(is_seen, decay[..., None] - decay[..., None, :] + i[..., None, :], _NEVER)
    log_before = jnp.where(is_first, decay + m[..., None], _NEVER)
    m = lax.stop_gradient(jnp.maximum(jnp.maximum(log_weight.max(-1), log_before), 0))
    weight, before = jnp.exp(log_weight - m[..., None]), jnp.exp(log_before - m)

    from_before = q * _by_time(before)
    if len(q) == 1:  # `mean`, since the sampler writes the same music in blocks of all sizes
        pairs, in_n = (q.shape[-1] * mean(each) for each in (q[0] * k[0], from_before[0] * n))
        pairs = pairs[..., None]
    else:
        pairs = _product(precision, "tbhk,sbhk->bhts", q, k)
        in_n = _product(precision, "tbhk,bhk->bht", from_before, n)
    seen = pairs * weight
    below = seen.sum(-1) + in_n
    below = jnp.maximum(jnp.abs(below), jnp.maximum(jnp.exp(-m), _SMALLEST))
    above = _product(precision, "bhts,sbhv->tbhv", seen, v) + _product(precision, "tbhk,bhkv->tbhv", from_before, c)

    taken, kept = k * _by_time(weight[..., -1, :]), before[..., -1:]
    c = kept[..., None] * c + _product(precision, "sbhk,sbhv->bhkv", taken, v)
    n = kept * n + taken.sum(0)
    return above / _by_time(below), (c, n, m[..., -1])


def _by_time(x: Shaped[Array, "b h t"]) -> Shaped[Array, "t b h 1"]:
    return jnp.moveaxis(x, -1, 0)[..., None]


def _normalise(x: Float[Array, "*n v"]) -> Float[Array, "*n v"]:
    """Returns x without its mean over v, divided by its standard deviation."""
    x = x - mean(x)
    return x * lax.rsqrt(mean(x * x) + 1e-5)


def _product(precision: Precision, axes: str, x: Array, y: Array) -> Array:
    """Returns `_einsum` of the same: the type checker does not see through a rule for gradients."""
    result: Array = _einsum(precision, axes, x, y)
    return result


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _einsum(precision: Precision, axes: str, x: Array, y: Array) -> Array:
    """Returns `jnp.einsum(axes, x, y)`, of which each axis is in two of the three arrays.

    With precision "bf16" the gradients, too, read rounded numbers.
    """
    dtype = x.dtype
    if precision == "bf16":
        x, y = x.astype(jnp.bfloat16), y.astype(jnp.bfloat16)
        if platform() == "cpu":  # XLA:CPU has no product of several matrices at once in bfloat16
            x, y = x.astype(dtype), y.astype(dtype)
    return jnp.einsum(axes, x, y, preferred_element_type=dtype)


def _einsum_forward(precision: Precision, axes: str, x: Array, y: Array) -> tuple[Array, State]:
    return _einsum(precision, axes, x, y), (x, y)


def _einsum_backward(precision: Precision, axes: str, saved: State, d_out: Array) -> State:
    (x, y), (ins, out) = saved, axes.split("->")
    of_x, of_y = ins.split(",")
    return _einsum(precision, f"{out},{of_y}->{of_x}", d_out, y), _einsum(precision, f"{of_x},{out}->{of_y}", x, d_out)


_einsum.defvjp(_einsum_forward, _einsum_backward)
