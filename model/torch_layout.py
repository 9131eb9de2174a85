"""Parameters of the whole network as torch.nn's modules name and lay them out, and back, to the same bits.

    embeddings.<i>.weight               [v_i, e]      nn.Embedding of field i (config.inputs "embedding" only)
    layers.<k>.weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0
                                                      nn.LSTM, nn.GRU or nn.RNN of one layer; from the second one on its
                                                      output is added to its input where config.residual says so
    layers.<k>.<name>                                 an mLSTM as in model/convert.py (config.cell "mlstm" only)
    layers.<k>.in_proj_weight [3 h, h], out_proj.weight, norm.weight, linear1.weight, linear2.weight
                                                      a block as in model/transformer.py (config.cell "transformer"
                                                      only), as nn.TransformerEncoderLayer names its parts
    projection.weight                   [h, e]        nn.Linear without bias (config.norm "pre" only): where the
                                                      residual stream begins
    norms.<k>.weight, norm_out.weight   [e or h], [h] nn.RMSNorm (eps 1e-5): what layer k and the head read
    gate.<name>                                       the copy gate as in model/copy_gate.py (config.copy only)
    head.parts.weight, head.parts.bias  [f * s, h]    nn.Linear; block j of the result belongs to field j
    head.contexts.<j>.<i>.weight        [v_i, s]      nn.Embedding: what field j > i learns from the value of field i
    head.outputs.<j>.weight, .bias      [v_j, s]      nn.Linear: logits of field j, of gelu (tanh) of the sum of both

Axes: v values of a field, e embedding, h hidden, f fields, s head.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from ostinato.configs.schema import ModelConfig
from ostinato.model.convert import from_torch, mlstm_from_torch, mlstm_to_torch, to_torch
from ostinato.model.mlstm import MLSTMParams
from ostinato.model.recurrent import LayerParams

_TRANSFORMER = {
    "kernel": "in_proj_weight",
    "out": "out_proj.weight",
    "norm": "norm.weight",
    "up": "linear1.weight",
    "down": "linear2.weight",
}

_BLOCKS: dict[str, tuple[Callable[[Any], dict[str, Array]], Callable[[Mapping[str, ArrayLike]], dict[str, Array]]]] = {
    "mlstm": (
        lambda params: mlstm_to_torch(MLSTMParams(**params)),
        lambda weights: mlstm_from_torch(weights)._asdict(),
    ),
    "transformer": (
        lambda params: {theirs: params[ours].T for ours, theirs in _TRANSFORMER.items()},
        lambda weights: {ours: jnp.asarray(weights[theirs]).T for ours, theirs in _TRANSFORMER.items()},
    ),
}
"""Of cells that are no cells of torch.nn: to its names and layouts and back."""


def to_torch_layout(params: Mapping[str, Any], config: ModelConfig) -> dict[str, Array]:
    """Returns the parameters of a network by the names of the module docstring."""
    tensors: dict[str, Array] = {}
    for name, value in params.items():
        kind, _, index = name.rpartition("_")
        if kind == "embedding":
            tensors[f"embeddings.{index}.weight"] = value
    if config.norm == "pre":
        tensors["projection.weight"], tensors["norm_out.weight"] = params["projection"].T, params["norm_out"]
        tensors |= {f"norms.{k}.weight": params[f"norm_{k}"] for k in range(config.num_layers)}
    if config.copy:
        tensors |= {f"gate.{name}": value for name, value in params["gate"].items()}
    for k in range(config.num_layers):
        if config.cell in _BLOCKS:
            to_names, _ = _BLOCKS[config.cell]
            layer = to_names(params[f"layers_{k}"])
            tensors |= {f"layers.{k}.{name}": value for name, value in layer.items()}
            continue
        for name, value in to_torch(LayerParams(**params[f"layers_{k}"])).items():
            tensors[f"layers.{k}.{name}_l0"] = value
    head = params["head"]
    tensors["head.parts.weight"], tensors["head.parts.bias"] = head["kernel"].T, head["bias"]
    for name, value in head.items():
        words = name.split("_")
        match words:
            case ["context", i, j]:
                tensors[f"head.contexts.{j}.{i}.weight"] = value
            case ["output", "bias", j]:
                tensors[f"head.outputs.{j}.bias"] = value
            case ["output", j]:
                tensors[f"head.outputs.{j}.weight"] = value.T
    return tensors


def from_torch_layout(tensors: Mapping[str, ArrayLike], config: ModelConfig) -> dict[str, Any]:
    """Returns the parameters as the network takes them; inside jit too."""
    params: dict[str, Any] = {f"layers_{k}": _layer(tensors, config, k) for k in range(config.num_layers)}
    head: dict[str, Array] = {}
    gate: dict[str, Array] = {}
    for name, value in tensors.items():
        array = jnp.asarray(value)
        match name.split("."):
            case ["projection", "weight"]:
                params["projection"] = array.T
            case ["norms", k, "weight"]:
                params[f"norm_{k}"] = array
            case ["norm_out", "weight"]:
                params["norm_out"] = array
            case ["gate", part]:
                gate[part] = array
            case ["embeddings", i, "weight"]:
                params[f"embedding_{i}"] = array
            case ["head", "parts", "weight"]:
                head["kernel"] = array.T
            case ["head", "parts", "bias"]:
                head["bias"] = array
            case ["head", "contexts", j, i, "weight"]:
                head[f"context_{i}_{j}"] = array
            case ["head", "outputs", j, "weight"]:
                head[f"output_{j}"] = array.T
            case ["head", "outputs", j, "bias"]:
                head[f"output_bias_{j}"] = array
    return {**params, "head": head, **({"gate": gate} if gate else {})}


def _layer(tensors: Mapping[str, ArrayLike], config: ModelConfig, k: int) -> dict[str, Array]:
    if config.cell in _BLOCKS:
        prefix = f"layers.{k}."
        of_layer = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        _, from_names = _BLOCKS[config.cell]
        return from_names(of_layer)
    weights = {
        name: jnp.asarray(tensors[f"layers.{k}.{name}_l0"]) for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    }
    layer = from_torch(config.cell, weights)
    # Where torch's second bias is zero the first one is ours to the bit: -0.0 + 0.0 would be 0.0.
    bias = jnp.where(weights["bias_hh"] == 0, weights["bias_ih"], layer.bias)
    return {name: value for name, value in layer._replace(bias=bias)._asdict().items() if value is not None}
