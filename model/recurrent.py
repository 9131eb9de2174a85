"""The recurrent core: LSTM, GRU and plain RNN layers over whole sequences, with resets and a carry in and out.

Axes: t time step, b batch, d input, h hidden, g gates (num_gates blocks of h columns, side by side).

Parameters of a layer (`LayerParams`), the same for every cell:

    kernel            [d, g]  input to gates
    recurrent_kernel  [h, g]  previous h to gates
    bias              [g]
    recurrent_bias    [h]     gru only: the bias inside the reset gate's product (flax `hn`, torch `bias_hh_n`)

Order of the gate blocks: lstm i, f, g, o; gru r, z, n (flax, torch.nn and cuDNN agree for lstm; flax and torch.nn for
gru); rnn has one. A carry is (c, h) for lstm and (h,) otherwise; h is always last.

The same mathematics without any of the following is in model/reference_cell.py. What makes it fast, measured on a CPU:
the input projection of all steps is one matmul before the scan; the backward scan carries only the cotangents of the
state, and each weight gradient is one contraction after it; inside the scan, small batches are kept feature-major,
[h, b]: XLA:CPU repacks the right operand of a matmul at every step, and that should be the small activations and not
the weights (62 GFLOP/s instead of 34 at 32 rows). On accelerators the scan is unrolled.

Precision "bf16" rounds what matmuls read to bfloat16; their sums, all states, gates and parameters stay float32.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Shaped

from ostinato.configs.schema import CellName, Precision
from ostinato.model.backend import platform

State = tuple[Array, ...]
"""The carry of one layer: (c, h) for lstm, (h,) otherwise."""

_MAX_FEATURE_MAJOR_BATCH = 64
_ACCELERATOR_UNROLL = 4


class Layout(NamedTuple):
    """How a scan is computed; results are the same up to rounding."""

    feature_major: bool = False
    """Arrays inside the scan are [h, b] instead of [b, h]."""
    unroll: int = 1
    precision: Precision = "float32"


def choose_layout(batch_size: int, precision: Precision) -> Layout:
    """Returns what was measured to be fastest on a CPU (there, unrolling hurts), and a guess elsewhere."""
    if _on_cpu():
        return Layout(feature_major=batch_size <= _MAX_FEATURE_MAJOR_BATCH, precision=precision)
    return Layout(unroll=_ACCELERATOR_UNROLL, precision=precision)


class LayerParams(NamedTuple):
    """Parameters of one layer; the module docstring has the layout."""

    kernel: Float[Array, "d g"]
    recurrent_kernel: Float[Array, "h g"]
    bias: Float[Array, " g"]
    recurrent_bias: Float[Array, " h"] | None = None


class Cell(NamedTuple):
    """The mathematics of one step, on arrays whose features lie on the given axis (0 or -1)."""

    num_gates: int
    num_states: int
    step: Callable[[Array, Array, State, int], tuple[State, State]]
    """(gate inputs from x, gate inputs from the previous h, carry, axis) -> (carry, what `gradient` needs)."""
    gradient: Callable[[State, State, int], tuple[Array, Array | None, State]]
    """(cotangent of the carry, what `step` saved, axis) -> cotangents of (the gate inputs from x, those from h, the
    previous carry but for its way through the gate inputs). The second is None where it equals the first."""


def _lstm_step(x: Array, u: Array, carry: State, axis: int) -> tuple[State, State]:
    c_before, _ = carry
    i, f, g, o = jnp.split(x + u, 4, axis)
    i, f, g, o = jax.nn.sigmoid(i), jax.nn.sigmoid(f), jnp.tanh(g), jax.nn.sigmoid(o)
    c = f * c_before + i * g
    return (c, o * jnp.tanh(c)), (jnp.concatenate([i, f, g, o], axis), c_before)


def _lstm_gradient(d_carry: State, saved: State, axis: int) -> tuple[Array, None, State]:
    gates, c_before = saved
    i, f, g, o = jnp.split(gates, 4, axis)
    tanh_c = jnp.tanh(f * c_before + i * g)
    d_c, d_h = d_carry
    d_c = d_c + d_h * o * (1 - tanh_c * tanh_c)
    d_gates = jnp.concatenate(
        [d_c * g * i * (1 - i), d_c * c_before * f * (1 - f), d_c * i * (1 - g * g), d_h * tanh_c * o * (1 - o)], axis
    )
    return d_gates, None, (d_c * f, jnp.zeros_like(d_h))


def _gru_step(x: Array, u: Array, carry: State, axis: int) -> tuple[State, State]:
    (h_before,) = carry
    x_r, x_z, x_n = jnp.split(x, 3, axis)
    u_r, u_z, u_n = jnp.split(u, 3, axis)
    r, z = jax.nn.sigmoid(x_r + u_r), jax.nn.sigmoid(x_z + u_z)
    n = jnp.tanh(x_n + r * u_n)
    return ((1 - z) * n + z * h_before,), (jnp.concatenate([r, z, n, u_n], axis), h_before)


def _gru_gradient(d_carry: State, saved: State, axis: int) -> tuple[Array, Array, State]:
    gates, h_before = saved
    r, z, n, u_n = jnp.split(gates, 4, axis)
    (d_h,) = d_carry
    d_n = d_h * (1 - z) * (1 - n * n)
    d_z = d_h * (h_before - n) * z * (1 - z)
    d_r = d_n * u_n * r * (1 - r)
    return jnp.concatenate([d_r, d_z, d_n], axis), jnp.concatenate([d_r, d_z, d_n * r], axis), (d_h * z,)


def _rnn_step(x: Array, u: Array, carry: State, axis: int) -> tuple[State, State]:
    del carry, axis
    h = jnp.tanh(x + u)
    return (h,), (h,)


def _rnn_gradient(d_carry: State, saved: State, axis: int) -> tuple[Array, None, State]:
    del axis
    (h,), (d_h,) = saved, d_carry
    return d_h * (1 - h * h), None, (jnp.zeros_like(h),)


CELLS: dict[CellName, Cell] = {
    "lstm": Cell(4, 2, _lstm_step, _lstm_gradient),
    "gru": Cell(3, 1, _gru_step, _gru_gradient),
    "rnn": Cell(1, 1, _rnn_step, _rnn_gradient),
}


def recurrent_layer(
    cell: CellName,
    x_tbd: Float[Array, "t b d"],
    params: LayerParams,
    starts_tb: Bool[Array, "t b"],
    carry: State,
    precision: Precision = "float32",
) -> tuple[Float[Array, "t b h"], State]:
    """Returns the layer's h after every step, and the carry after the last, in the layout that `choose_layout` names.

    Where `starts_tb` is True the carry is set to zero before that step. All arrays share one dtype, float32 or float64
    (with precision "bf16" float32).
    """
    layout = choose_layout(x_tbd.shape[1], precision)
    return recurrent_scan(cell, layout, multiply(precision, x_tbd, params.kernel), params, starts_tb, carry)


def recurrent_scan(
    cell: CellName,
    layout: Layout,
    x_tbg: Float[Array, "t b g"],
    params: LayerParams,
    starts_tb: Bool[Array, "t b"],
    carry: State,
) -> tuple[Float[Array, "t b h"], State]:
    """Does what `recurrent_layer` does for inputs that are already multiplied by the kernel, without the bias."""
    recurrent_bias = _whole_recurrent_bias(params)
    return recurrence(cell, layout, x_tbg, params.recurrent_kernel, params.bias, recurrent_bias, starts_tb, carry)


def _whole_recurrent_bias(params: LayerParams) -> Float[Array, " g"] | None:
    bias = params.recurrent_bias
    if bias is None:
        return None
    return jnp.concatenate([jnp.zeros(2 * len(bias), bias.dtype), bias])  # gru: only the block of n has one


def recurrent_step(
    cell: CellName, x_bg: Float[Array, "b g"], params: LayerParams, carry: State, precision: Precision = "float32"
) -> State:
    """Returns the carry after one step, for inputs that are already multiplied by the kernel, without the bias."""
    u = _dot(precision, carry[-1], params.recurrent_kernel)
    recurrent_bias = _whole_recurrent_bias(params)
    if recurrent_bias is not None:
        u = u + recurrent_bias[None]
    return CELLS[cell].step(x_bg + params.bias[None], u, carry, -1)[0]


def in_parts(
    layer: Callable[[Array, Array, State], tuple[Array, State]],
    num_parts: int,
    x: Shaped[Array, "t b d"],
    starts_tb: Bool[Array, "t b"],
    carry: State,
) -> tuple[Float[Array, "t b h"], State]:
    """Returns what `layer(x, starts_tb, carry)` does, and remembers less: between `num_parts` parts only the carry.

    The backward pass computes the gates again, of one part at a time. The whole training step of 2 layers of 512 units,
    batch 64, 128 steps in 8 parts on a CPU: 152 MB of temporaries instead of 491, 3.4 s of CPU time instead of 2.6.
    """

    @jax.checkpoint
    def run_part(carry: State, part: tuple[Array, Array]) -> tuple[State, Array]:
        y, carry = layer(*part, carry)
        return carry, y

    parts = jax.tree.map(lambda leaf: leaf.reshape(num_parts, -1, *leaf.shape[1:]), (x, starts_tb))
    carry, y = lax.scan(run_part, carry, parts)
    return y.reshape(-1, *y.shape[2:]), carry


def project(
    precision: Precision, x: Float[Array, "*n d"], kernel: Float[Array, "d g"], bias: Float[Array, " g"]
) -> Float[Array, "*n g"]:
    """Returns x @ kernel + bias; the gradients are laid out for XLA:CPU, see `_transposed`."""
    product: Array = multiply(precision, x, kernel)
    return product + jnp.expand_dims(bias, tuple(range(x.ndim - 1)))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def multiply(precision: Precision, x: Float[Array, "*n d"], kernel: Float[Array, "d g"]) -> Float[Array, "*n g"]:
    """Returns x @ kernel."""
    return _dot(precision, x, kernel)


def _multiply_forward(precision: Precision, x: Array, kernel: Array) -> tuple[Array, State]:
    return _dot(precision, x, kernel), (x, kernel)


def _multiply_backward(precision: Precision, saved: State, d_out: Array) -> State:
    x, kernel = saved
    return _dot(precision, d_out, _transposed(kernel)), _weight_gradient(precision, x, d_out)


multiply.defvjp(_multiply_forward, _multiply_backward)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def recurrence(
    cell: CellName,
    layout: Layout,
    x_tbg: Float[Array, "t b g"],
    recurrent_kernel: Float[Array, "h g"],
    bias: Float[Array, " g"],
    recurrent_bias: Float[Array, " g"] | None,
    starts_tb: Bool[Array, "t b"],
    carry: State,
) -> tuple[Float[Array, "t b h"], State]:
    """Returns h after every step and the last carry, from inputs that are already multiplied by their kernel.

    The bias is added inside the scan, since XLA:CPU would write all of x_tbg a second time to add it outside (measured:
    5 to 20 % of the layer's time).
    """
    return _forward(cell, layout, x_tbg, recurrent_kernel, bias, recurrent_bias, starts_tb, carry)[0]


def _forward(cell, layout, x_tbg, recurrent_kernel, bias, recurrent_bias, starts_tb, carry):
    feature_major, unroll, precision = layout
    axis, flip = _orientation(feature_major)
    weights = _rounded(precision, _transposed(recurrent_kernel) if feature_major else recurrent_kernel)

    def step(carry, inputs):
        x_bg, start_b = inputs
        carry = _reset(carry, start_b, axis)
        h = carry[-1]
        u = _dot(precision, weights, h) if feature_major else _dot(precision, h, weights)
        if recurrent_bias is not None:
            u = u + jnp.expand_dims(recurrent_bias, -1 - axis)
        x = flip(x_bg) + jnp.expand_dims(bias, -1 - axis)
        carry, saved = CELLS[cell].step(x, u, carry, axis)
        return carry, (flip(carry[-1]), saved)

    last, (h_tbh, saved) = lax.scan(step, tuple(map(flip, carry)), (x_tbg, starts_tb), unroll=unroll)
    residuals = saved, h_tbh, carry[-1], recurrent_kernel, recurrent_bias, starts_tb
    return (h_tbh, tuple(map(flip, last))), residuals


def _backward(cell, layout, residuals, cotangents):
    feature_major, unroll, precision = layout
    saved, h_tbh, first_h, recurrent_kernel, recurrent_bias, starts_tb = residuals
    d_h_tbh, d_last = cotangents
    axis, flip = _orientation(feature_major)
    weights = _rounded(precision, recurrent_kernel if feature_major else _transposed(recurrent_kernel))

    def step(d_carry, inputs):
        d_h_bh, saved, start_b = inputs
        d_carry = (*d_carry[:-1], d_carry[-1] + flip(d_h_bh))
        d_x, d_u, d_carry = CELLS[cell].gradient(d_carry, saved, axis)
        d_gates = d_x if d_u is None else d_u
        d_h = _dot(precision, weights, d_gates) if feature_major else _dot(precision, d_gates, weights)
        d_carry = (*d_carry[:-1], d_carry[-1] + d_h)
        return _reset(d_carry, start_b, axis), (flip(d_x), None if d_u is None else flip(d_u))

    d_first, (d_x_tbg, d_u_tbg) = lax.scan(
        step, tuple(map(flip, d_last)), (d_h_tbh, saved, starts_tb), reverse=True, unroll=unroll
    )
    d_u_tbg = d_x_tbg if d_u_tbg is None else d_u_tbg
    h_before_tbh = jnp.concatenate([first_h[None], h_tbh[:-1]])
    h_before_tbh = jnp.where(starts_tb[..., None], 0, h_before_tbh)
    d_kernel = _weight_gradient(precision, h_before_tbh, d_u_tbg)
    d_recurrent_bias = None if recurrent_bias is None else d_u_tbg.sum((0, 1))
    return d_x_tbg, d_kernel, d_x_tbg.sum((0, 1)), d_recurrent_bias, None, tuple(map(flip, d_first))


recurrence.defvjp(_forward, _backward)


def _orientation(feature_major: bool) -> tuple[int, Callable[[Array], Array]]:
    """Returns the axis of the features inside the scan, and how to get there from [b, h] and back."""
    return (0, jnp.transpose) if feature_major else (-1, lambda x: x)


def _reset(carry: State, start_b: Array, axis: int) -> State:
    start = jnp.expand_dims(start_b, axis)
    return tuple(jnp.where(start, 0, state) for state in carry)


def _dot(precision: Precision, x: Array, y: Array, num_axes: int = 1) -> Array:
    """Returns the contraction of x's last with y's first axes, with sums in x's own precision, or in float32."""
    total, contracted = x.dtype, (tuple(range(x.ndim - num_axes, x.ndim)), tuple(range(num_axes)))
    if precision == "bf16":
        total, x, y = jnp.float32, _rounded(precision, x), _rounded(precision, y)
    return lax.dot_general(x, y, (contracted, ((), ())), preferred_element_type=total)


def _rounded(precision: Precision, x: Array) -> Array:
    """Returns x as `_dot` reads it: of weights once and not at each step."""
    return x.astype(jnp.bfloat16) if precision == "bf16" else x


def _weight_gradient(precision: Precision, x: Array, d_out: Array) -> Array:
    """Returns the sum over all leading axes of x's outer product with d_out."""
    return _dot(precision, _transposed(x), d_out, x.ndim - 1)


def _transposed(x: Array) -> Array:
    """Returns x with its last axis first; on a CPU really in memory so.

    XLA:CPU multiplies a transposed view at 39 GFLOP/s a core and a transposed copy at 52.
    """
    x = jnp.moveaxis(x, -1, 0)
    return lax.optimization_barrier(x) if _on_cpu() else x


def _on_cpu() -> bool:
    return platform() == "cpu"
