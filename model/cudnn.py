"""NVIDIA's own LSTM as one layer of the network: same parameters and results as the portable scan, one kernel launch.

Axes: t time step, b batch, d input, h hidden, g gates (4 h).

cuDNN knows no resets in the middle of a sequence. Here each becomes one more step, whose input shuts all gates but the
cell's: f = i = o = sigmoid(-10000) = 0 exactly, so c = f c + i g = 0 and h = o tanh(c) = 0, and so are all gradients
through it. There is room for MAX_RESETS of them in a row; a batch with more goes through the portable scan.

Not chosen for `ostinato plan`: asking cuDNN for its workspace takes a device, so the plan is that of the scan.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.experimental import rnn
from jaxlib import gpu_rnn
from jaxtyping import Bool, Float, Int

from ostinato.configs.schema import ModelConfig
from ostinato.model import recurrent
from ostinato.model.backend import is_planned
from ostinato.model.recurrent import LayerParams, State

MAX_RESETS = 8
"""Additional steps, at most, in each row. Whole pieces are longer than 16 steps, and most are than 100."""

_SHUT = -1e4
_INPUT_MULTIPLE = 8
"""The width of the input, with the column that shuts the gates, is rounded up to this, as tensor cores like it."""


def applies(config: ModelConfig, length: int) -> bool:
    """Returns whether layers of sequences of this length are computed by cuDNN: float32 LSTMs on NVIDIA's GPUs."""
    return config.cell == "lstm" and config.precision == "float32" and length > MAX_RESETS and is_available()


def is_available() -> bool:
    """Returns whether there is a GPU, and JAX has been built with cuDNN's recurrent layers for it."""
    if is_planned() or jax.default_backend() != "gpu" or "rocm" in jax.devices()[0].client.platform_version:
        return False
    return getattr(gpu_rnn, "_cuda_rnn", None) is not None


def recurrent_layer(
    x_tbd: Float[Array, "t b d"], params: LayerParams, starts_tb: Bool[Array, "t b"], carry: State
) -> tuple[Float[Array, "t b h"], State]:
    """Returns what `recurrent.recurrent_layer` does for an LSTM."""
    fits = jnp.max(jnp.sum(starts_tb, axis=0)) <= MAX_RESETS
    outputs: tuple[Array, State] = lax.cond(
        fits, _with_resets_as_steps, partial(recurrent.recurrent_layer, "lstm"), x_tbd, params, starts_tb, carry
    )
    return outputs


def _with_resets_as_steps(
    x_tbd: Array, params: LayerParams, starts_tb: Array, carry: State
) -> tuple[Float[Array, "t b h"], State]:
    x_bsd, position_tb, lengths_b = insert_resets(x_tbd, starts_tb)
    c, h = carry
    hidden = h.shape[-1]
    weights, input_size = pack(params), x_bsd.shape[-1]
    outputs: Any = rnn.lstm(x_bsd, h[None], c[None], weights, lengths_b, input_size, hidden, 1, 0.0, False)
    y_bsh, h, c = outputs
    return take_steps(y_bsh, position_tb), (c[0], h[0])


def insert_resets(
    x_tbd: Float[Array, "t b d"], starts_tb: Bool[Array, "t b"]
) -> tuple[Float[Array, "b s e"], Int[Array, "t b"], Int[Array, " b"]]:
    """Returns the input batch-first with a step before each start that shuts the gates.

    Returns:
        the input, s = t + MAX_RESETS steps wide, with the column that shuts the gates and zeros beside it; the step at
        which each step of x_tbd now is; the number of steps of each row, beyond which there are zeros.
    """
    length, batch_size, input_size = x_tbd.shape
    position_tb = jnp.arange(length, dtype=jnp.int32)[:, None] + jnp.cumsum(starts_tb, axis=0, dtype=jnp.int32)
    row = jnp.arange(batch_size)
    is_step = jnp.zeros((batch_size, length + MAX_RESETS), x_tbd.dtype).at[row[None], position_tb].set(1)
    width = _width(input_size)
    x = jnp.zeros((batch_size, length + MAX_RESETS, width), x_tbd.dtype)
    x = x.at[row[None], position_tb, :input_size].set(x_tbd)
    return x.at[..., input_size].set(1 - is_step), position_tb, position_tb[-1] + 1


def take_steps(y_bsh: Float[Array, "b s h"], position_tb: Int[Array, "t b"]) -> Float[Array, "t b h"]:
    """Returns the outputs of the steps that are not resets."""
    return y_bsh[jnp.arange(len(y_bsh))[None], position_tb]


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
