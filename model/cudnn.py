"""NVIDIA's own LSTM as one layer of the network: same parameters and results as the portable scan, one kernel launch.

Axes: t time step, b batch, d input, h hidden, g gates (4 h), s steps with those that reset.

cuDNN knows no resets in the middle of a sequence. Here each becomes one more step, whose input shuts all gates but the
cell's: f = i = o = sigmoid(-10000) = 0 exactly, so c = f c + i g = 0 and h = o tanh(c) = 0, and so are all gradients
through it. There is room for ROOM of them in a row. A row with more is cut before one of them, where nothing is
remembered; what follows is computed by a second call, which is made only where there is such a row. Two are enough for
any resets: if the piece of music that does not fit has l steps, at least (t + ROOM - l) / 2 of all lie before it. So
(t - ROOM + l) / 2 at most are left, with (t - ROOM - l) / 2 resets at most: t - ROOM together.

JAX hands cuDNN float32 alone, which it multiplies as TF32 unless `jax_default_matmul_precision` is "highest". For
bfloat16 jax.experimental.rnn says "bfloat16 support not implemented for LSTM" or "Unknown output type bfloat16", and
its kernel reads float32 whatever it is told (jaxlib/gpu/rnn_kernels.cc: data_type = CUDNN_DATA_FLOAT).

Not chosen for `ostinato plan`: asking cuDNN for its workspace takes a device, so the plan is that of the scan.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import rnn
from jaxlib import gpu_rnn
from jaxtyping import Bool, Float, Int

from ostinato.configs.schema import ModelConfig
from ostinato.model.backend import is_planned
from ostinato.model.recurrent import LayerParams, State

ROOM = 8
"""Steps that reset in each row of a call, at most; at least 1. Whole pieces are longer than 16 steps."""

_SHUT = -1e4
_INPUT_MULTIPLE = 8
"""The width of the input, with the column that shuts the gates, is rounded up to this, as tensor cores like it."""


def applies(config: ModelConfig, length: int) -> bool:
    """Returns whether layers of sequences of this length can be computed by cuDNN: LSTMs on NVIDIA's GPUs."""
    return config.cell == "lstm" and length > 1 and is_available()


def is_available() -> bool:
    """Returns whether there is a GPU, and JAX has been built with cuDNN's recurrent layers for it."""
    if is_planned() or jax.default_backend() != "gpu" or "rocm" in jax.devices()[0].client.platform_version:
        return False
    return getattr(gpu_rnn, "_cuda_rnn", None) is not None


class Places(NamedTuple):
    """Where the steps of each row are in the two calls."""

    first_tb: Int[Array, "t b"]
    """The step of the first call that computes this one, if one does."""
    second_tb: Int[Array, "t b"]
    """Likewise of the second call; negative where it does not."""

    @property
    def is_second_tb(self) -> Bool[Array, "t b"]:
        return self.second_tb >= 0


def recurrent_layer(
    x_tbd: Float[Array, "t b d"], params: LayerParams, starts_tb: Bool[Array, "t b"], carry: State
) -> tuple[Float[Array, "t b h"], State]:
    """Returns what `recurrent.recurrent_layer` does for an LSTM."""
    places = find_places(starts_tb)
    is_second_tb = places.is_second_tb
    y_tbh, carry = _call(x_tbd, params, places.first_tb, ~is_second_tb, carry)

    def second(x_tbd: Array, params: LayerParams) -> tuple[Array, State]:
        zeros = jax.tree.map(jnp.zeros_like, carry)
        return _call(x_tbd, params, places.second_tb, is_second_tb, zeros)

    def none(x_tbd: Array, params: LayerParams) -> tuple[Array, State]:
        del x_tbd, params
        return jnp.zeros_like(y_tbh), jax.tree.map(jnp.zeros_like, carry)

    # Its backward pass computes it again: kept would be as much as of the first, and it is hardly ever needed.
    rarely = jax.checkpoint(lambda x_tbd, params: lax.cond(jnp.any(is_second_tb), second, none, x_tbd, params))
    y_second_tbh, carry_second = rarely(x_tbd, params)
    is_cut_b1 = is_second_tb[-1][:, None]
    carry = jax.tree.map(lambda one, two: jnp.where(is_cut_b1, two, one), carry, carry_second)
    return jnp.where(is_second_tb[..., None], y_second_tbh, y_tbh), carry


def find_places(starts_tb: Bool[Array, "t b"]) -> Places:
    """Returns where each step is computed when every start but that of the second call takes a step of its own."""
    length = len(starts_tb)
    step_t1 = jnp.arange(length, dtype=jnp.int32)[:, None]
    first_tb = step_t1 + jnp.cumsum(starts_tb, axis=0, dtype=jnp.int32)
    has_room_tb = first_tb < length + ROOM
    # The piece that a row is cut before: the last start up to the first step that has no room.
    end_b = jnp.sum(has_room_tb, axis=0, dtype=jnp.int32)
    cut_b = jnp.max(jnp.where(starts_tb & (step_t1 <= end_b[None]), step_t1, -1), axis=0)
    cut_b = jnp.where(end_b == length, length, cut_b)
    begin_b = jnp.take_along_axis(first_tb, jnp.minimum(cut_b, length - 1)[None], axis=0)[0]
    return Places(first_tb, jnp.where(step_t1 >= cut_b[None], first_tb - begin_b[None], -1))


def _call(
    x_tbd: Array, params: LayerParams, position_tb: Array, is_here_tb: Array, carry: State
) -> tuple[Float[Array, "t b h"], State]:
    """Returns h after the steps that are computed here, what is not of use after the others, and the last carry."""
    x_bsd, lengths_b = insert_resets(x_tbd, position_tb, is_here_tb)
    c, h = carry
    hidden = h.shape[-1]
    weights, input_size = pack(params), x_bsd.shape[-1]
    outputs: Any = rnn.lstm(x_bsd, h[None], c[None], weights, lengths_b, input_size, hidden, 1, 0.0, False)
    y_bsh, h, c = outputs
    return take_steps(y_bsh, position_tb), (c[0], h[0])


def insert_resets(
    x_tbd: Float[Array, "t b d"], position_tb: Int[Array, "t b"], is_here_tb: Bool[Array, "t b"]
) -> tuple[Float[Array, "b s e"], Int[Array, " b"]]:
    """Returns the input batch-first, with steps that shut the gates where no step is.

    Args:
        x_tbd: the input.
        position_tb: the step at which each step of it shall be.
        is_here_tb: whether it shall be at all.

    Returns:
        the input, s = t + ROOM steps wide, with the column that shuts the gates and zeros beside it; the number of
        steps of each row, at least one, beyond which nothing is computed.
    """
    length, batch_size, input_size = x_tbd.shape
    row = jnp.arange(batch_size)
    num_steps = length + ROOM
    target_tb = jnp.where(is_here_tb, position_tb, num_steps)  # beyond the end: dropped
    is_step = jnp.zeros((batch_size, num_steps), x_tbd.dtype).at[row[None], target_tb].set(1, mode="drop")
    width = _width(input_size)
    x = jnp.zeros((batch_size, num_steps, width), x_tbd.dtype)
    x = x.at[row[None], target_tb, :input_size].set(x_tbd, mode="drop")
    lengths_b = jnp.max(jnp.where(is_here_tb, position_tb, 0), axis=0) + 1
    return x.at[..., input_size].set(1 - is_step), lengths_b


def take_steps(y_bsh: Float[Array, "b s h"], position_tb: Int[Array, "t b"]) -> Float[Array, "t b h"]:
    """Returns the outputs of the steps that are not resets; those of steps that are not there mean nothing."""
    return y_bsh[jnp.arange(len(y_bsh))[None], jnp.clip(position_tb, 0, y_bsh.shape[1] - 1)]


def pack(params: LayerParams) -> Float[Array, " n"]:
    """Returns the one vector that cuDNN reads: both kernels, gates first (i, f, g, o), then two biases that it adds."""
    input_size, num_gates = params.kernel.shape
    hidden = num_gates // 4
    shut = np.array([_SHUT, _SHUT, 0, _SHUT], np.float32).repeat(hidden)
    padding = jnp.zeros((_width(input_size) - input_size - 1, num_gates), params.kernel.dtype)
    kernel = jnp.concatenate([params.kernel, jnp.asarray(shut, params.kernel.dtype)[None], padding])
    parts = kernel.T, params.recurrent_kernel.T, params.bias, jnp.zeros_like(params.bias)
    return jnp.concatenate([part.ravel() for part in parts])


def _width(input_size: int) -> int:
    return -(-(input_size + 1) // _INPUT_MULTIPLE) * _INPUT_MULTIPLE
