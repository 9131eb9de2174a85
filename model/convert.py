"""Parameters of one recurrent layer to and from the layouts of torch.nn and of flax's cells.

Axes: d input, h hidden, g gates. The values are exact; only their arrangement changes, but for one thing: torch.nn has
two biases where their sum is all that counts. Going there, the sum lies in `bias_ih` and `bias_hh` is zero.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ostinato.configs.schema import CellName
from ostinato.model.recurrent import LayerParams

_FLAX_BLOCKS = {"lstm": ("i", "f", "g", "o"), "gru": ("r", "z", "n"), "rnn": ("",)}


def to_torch(params: LayerParams) -> dict[str, Array]:
    """Returns the parameters as torch.nn.LSTM, GRU and RNN name them, without the suffix `_l<layer>`.

    `weight_ih` [g, d], `weight_hh` [g, h], `bias_ih` [g], `bias_hh` [g].
    """
    bias_hh = jnp.zeros_like(params.bias)
    if params.recurrent_bias is not None:
        bias_hh = bias_hh.at[-len(params.recurrent_bias) :].set(params.recurrent_bias)
    return {
        "weight_ih": params.kernel.T,
        "weight_hh": params.recurrent_kernel.T,
        "bias_ih": params.bias,
        "bias_hh": bias_hh,
    }


def from_torch(cell: CellName, weights: Mapping[str, ArrayLike]) -> LayerParams:
    """Returns the layer whose parameters are arrays laid out as `to_torch` says, from a module of the same cell."""
    bias_ih, bias_hh = jnp.asarray(weights["bias_ih"]), jnp.asarray(weights["bias_hh"])
    recurrent_bias = None
    if cell == "gru":  # the reset gate multiplies the last block, so that one stays apart
        hidden = len(bias_hh) // 3
        recurrent_bias = bias_hh[-hidden:]
        bias_hh = bias_hh.at[-hidden:].set(0)
    return LayerParams(
        kernel=jnp.asarray(weights["weight_ih"]).T,
        recurrent_kernel=jnp.asarray(weights["weight_hh"]).T,
        bias=bias_ih + bias_hh,
        recurrent_bias=recurrent_bias,
    )


def to_flax(cell: CellName, params: LayerParams) -> dict[str, dict[str, Array]]:
    """Returns the parameters of flax.linen's OptimizedLSTMCell, GRUCell or SimpleCell."""
    blocks = _FLAX_BLOCKS[cell]
    bias_side = "h" if cell == "lstm" else "i"
    flax: dict[str, dict[str, Array]] = {}
    for side, kernel in (("i", params.kernel), ("h", params.recurrent_kernel)):
        for block, columns in zip(blocks, jnp.split(kernel, len(blocks), axis=1), strict=True):
            flax[side + block] = {"kernel": columns}
    for block, columns in zip(blocks, jnp.split(params.bias, len(blocks)), strict=True):
        flax[bias_side + block]["bias"] = columns
    if params.recurrent_bias is not None:
        flax["hn"]["bias"] = params.recurrent_bias
    return flax


def from_flax(cell: CellName, params: Mapping[str, Any]) -> LayerParams:
    """Returns the layer with the parameters of flax.linen's OptimizedLSTMCell, GRUCell or SimpleCell."""
    blocks = _FLAX_BLOCKS[cell]
    bias_side = "h" if cell == "lstm" else "i"
    return LayerParams(
        kernel=jnp.concatenate([params[f"i{block}"]["kernel"] for block in blocks], axis=1),
        recurrent_kernel=jnp.concatenate([params[f"h{block}"]["kernel"] for block in blocks], axis=1),
        bias=jnp.concatenate([params[bias_side + block]["bias"] for block in blocks]),
        recurrent_bias=params["hn"]["bias"] if cell == "gru" else None,
    )
