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
from ostinato.model.mlstm import MLSTMParams
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


def mlstm_to_torch(params: MLSTMParams) -> dict[str, Array]:
    """Returns the parameters of an mLSTM by the names of NX-AI's xlstm, as nn.Linear and nn.Conv1d lay them out.

    `proj_up.weight` [2 e, d], `conv1d.weight` [e, 1, w], `conv1d.bias` [e], `q_proj.weight` and `k_proj.weight`
    [h, k, v], `gates.weight` [2 h, 2 o + e], `gates.bias` [2 h], `outnorm.weight` [e], `learnable_skip` [e],
    `proj_down.weight` [o, e]; model/mlstm.py explains the letters.
    """
    query, key = jnp.split(jnp.swapaxes(params.query_key, 1, 2), 2, axis=1)
    return {
        "proj_up.weight": params.up_projection.T,
        "conv1d.weight": params.conv_kernel.T[:, None],
        "conv1d.bias": params.conv_bias,
        "q_proj.weight": query,
        "k_proj.weight": key,
        "gates.weight": params.gate_kernel.T,
        "gates.bias": params.gate_bias,
        "outnorm.weight": params.head_norm,
        "learnable_skip": params.skip,
        "proj_down.weight": params.down_projection.T,
    }


def mlstm_from_torch(weights: Mapping[str, ArrayLike]) -> MLSTMParams:
    """Returns the layer whose parameters are arrays laid out as `mlstm_to_torch` says."""
    arrays = {name: jnp.asarray(value) for name, value in weights.items()}
    return MLSTMParams(
        up_projection=arrays["proj_up.weight"].T,
        conv_kernel=arrays["conv1d.weight"][:, 0].T,
        conv_bias=arrays["conv1d.bias"],
        query_key=jnp.swapaxes(jnp.concatenate([arrays["q_proj.weight"], arrays["k_proj.weight"]], axis=1), 1, 2),
        gate_kernel=arrays["gates.weight"].T,
        gate_bias=arrays["gates.bias"],
        head_norm=arrays["outnorm.weight"],
        skip=arrays["learnable_skip"],
        down_projection=arrays["proj_down.weight"].T,
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
