"""The network: rows of field values in, logits of the next row's fields out.

Axes: b batch, t time step, f field, e embedding, h hidden, s head, v values of a field.

Parameters (float32):

    embedding_<i>        [v_i, e]                       config.inputs "embedding" only
    layers_<k>           as in model/recurrent.py       kernel, recurrent_kernel, bias, for gru recurrent_bias
    head/kernel, bias    [h, f * s], [f * s]            block j belongs to field j
    head/context_<i>_<j> [v_i, s]                       what field j > i learns from the value of field i
    head/output_<j>, output_bias_<j>  [s, v_j], [v_j]

Kernels start as in flax's cells (lecun normal, recurrent blocks orthogonal), all biases at zero, the forget gate's too.
Field values must lie in 0 to v - 1; whoever makes the rows sees to that.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from ostinato.configs.schema import CellName, ModelConfig
from ostinato.model.recurrent import CELLS, LayerParams, State, project, recurrent_layer

Carry = tuple[State, ...]
"""One state per layer, each array [b, h] float32."""

_embedding_init = nn.initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)


class MusicModel(nn.Module):
    """Stacked recurrent layers and a head that predicts the fields of the next row one after the other."""

    config: ModelConfig
    field_sizes: tuple[int, ...]

    def setup(self) -> None:
        config = self.config
        input_size = len(self.field_sizes)
        if config.inputs == "embedding":
            input_size = config.embedding_size
            self.embeddings = [
                self.param(f"embedding_{i}", _embedding_init, (size, input_size))
                for i, size in enumerate(self.field_sizes)
            ]
        self.layers = [
            RecurrentLayer(config.cell, input_size if k == 0 else config.hidden_size, config.hidden_size)
            for k in range(config.num_layers)
        ]
        self.head = FieldHead(self.field_sizes, config.hidden_size, config.head_size)

    def __call__(
        self,
        inputs_btf: Int[Array, "b t f"],
        targets_btf: Int[Array, "b t f"],
        starts_bt: Bool[Array, "b t"],
        carry: Carry,
        *,
        deterministic: bool = True,
    ) -> tuple[list[Float[Array, "b t _"]], Carry]:
        """Returns the logits of every field of the rows after `inputs_btf`, and the carry after the last step.

        Teacher-forced: the logits of field j see the fields before j of `targets_btf` at the same step.
        `deterministic=False` needs an rng "dropout".
        """
        features_bth, carry = self.features(inputs_btf, starts_bt, carry, deterministic=deterministic)
        return self.head(features_bth, targets_btf), carry

    def features(
        self,
        inputs_btf: Int[Array, "b t f"],
        starts_bt: Bool[Array, "b t"],
        carry: Carry,
        *,
        deterministic: bool = True,
    ) -> tuple[Float[Array, "b t h"], Carry]:
        """Returns what the head sees at every step, and the carry after the last.

        Where `starts_bt` is True the carry is set to zero before that step.
        """
        x = self._input(jnp.swapaxes(inputs_btf, 0, 1))
        states = []
        for layer, state in zip(self.layers, carry, strict=True):
            y, state = layer(x, starts_bt.T, state)
            if not deterministic and self.config.dropout > 0:
                y = dropout(self.make_rng("dropout"), y, self.config.dropout)
            x = x + y if self.config.residual and states else y
            states.append(state)
        return jnp.swapaxes(x, 0, 1), tuple(states)

    def field_logits(
        self, features_bh: Float[Array, "b h"], chosen_bf: Int[Array, "b f"], field: int
    ) -> Float[Array, "b v"]:
        """Returns the logits of one field, given the first `field` columns of `chosen_bf`; the others are ignored."""
        return self.head.field_logits(features_bh, chosen_bf, field)

    def _input(self, inputs_tbf: Int[Array, "t b f"]) -> Float[Array, "t b d"]:
        """Returns the sum of the fields' embeddings, or each field as a number from 0 to 1 (the paper).

        Tables already multiplied by the first kernel would spare its matmul, but with several fields they lose: every
        field's gather and scatter is then as wide as the gates. Measured forward and backward (5 fields, 4096 notes, e
        128, on a CPU): 31 to 103 ms for h 128 to 512 against 46 to 185. One-hot matmuls for the scatter: 47 to 119.
        """
        if self.config.inputs == "normalized":
            largest_f = jnp.maximum(jnp.array(self.field_sizes, jnp.float32) - 1, 1)
            return inputs_tbf.astype(jnp.float32) / largest_f[None, None]
        return sum_rows(self.embeddings, inputs_tbf)


class RecurrentLayer(nn.Module):
    """Owns the parameters of one layer."""

    cell: CellName
    input_size: int
    hidden_size: int

    @nn.compact
    def __call__(
        self, x_tbd: Float[Array, "t b d"], starts_tb: Bool[Array, "t b"], state: State
    ) -> tuple[Float[Array, "t b h"], State]:
        num_gates, hidden = CELLS[self.cell].num_gates, self.hidden_size

        def orthogonal_blocks(key: Array) -> Array:
            init = nn.initializers.orthogonal()
            return jnp.concatenate([init(k, (hidden, hidden)) for k in jax.random.split(key, num_gates)], axis=1)

        zeros = nn.initializers.zeros_init()
        params = LayerParams(
            kernel=self.param("kernel", nn.initializers.lecun_normal(), (self.input_size, num_gates * hidden)),
            recurrent_kernel=self.param("recurrent_kernel", orthogonal_blocks),
            bias=self.param("bias", zeros, (num_gates * hidden,)),
            recurrent_bias=self.param("recurrent_bias", zeros, (hidden,)) if self.cell == "gru" else None,
        )
        return recurrent_layer(self.cell, x_tbd, params, starts_tb, state)


class FieldHead(nn.Module):
    """Predicts the fields of a row in order, each from the features and the fields before it.

    logits_j = gelu(part_j + sum over i < j of context_ij[value_i]) @ output_j + output_bias_j
    """

    field_sizes: tuple[int, ...]
    hidden_size: int
    head_size: int

    def setup(self) -> None:
        num_fields, head = len(self.field_sizes), self.head_size
        lecun, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros_init()
        self.kernel = self.param("kernel", lecun, (self.hidden_size, num_fields * head))
        self.bias = self.param("bias", zeros, (num_fields * head,))
        self.contexts = [
            [self.param(f"context_{i}_{j}", _embedding_init, (self.field_sizes[i], head)) for i in range(j)]
            for j in range(num_fields)
        ]
        self.outputs = [
            (
                self.param(f"output_{j}", lecun, (head, size)),
                self.param(f"output_bias_{j}", zeros, (size,)),
            )
            for j, size in enumerate(self.field_sizes)
        ]

    def __call__(
        self, features_bth: Float[Array, "b t h"], targets_btf: Int[Array, "b t f"]
    ) -> list[Float[Array, "b t _"]]:
        """Returns the logits of every field, each given the targets of the fields before it."""
        parts = jnp.split(project(features_bth, self.kernel, self.bias), len(self.field_sizes), axis=-1)
        return [self._logits(part, targets_btf, field) for field, part in enumerate(parts)]

    def field_logits(
        self, features_bh: Float[Array, "b h"], chosen_bf: Int[Array, "b f"], field: int
    ) -> Float[Array, "b v"]:
        """Returns the logits of one field, given the first `field` columns of `chosen_bf`."""
        block = slice(field * self.head_size, (field + 1) * self.head_size)
        part = project(features_bh, self.kernel[:, block], self.bias[block])
        return self._logits(part, chosen_bf, field)

    def _logits(self, part: Float[Array, "*n s"], values: Int[Array, "*n f"], field: int) -> Float[Array, "*n v"]:
        if field > 0:
            part = part + sum_rows(self.contexts[field], values)
        return project(nn.gelu(part), *self.outputs[field])


def sum_rows(tables: Sequence[Array], values: Int[Array, "*n f"]) -> Float[Array, "*n s"]:
    """Returns the sum over i of row values[..., i] of table i, [v_i, s], for as many fields as there are tables."""
    rows = [jnp.take(table, values[..., i], axis=0, mode="clip") for i, table in enumerate(tables)]
    return sum(rows[1:], start=rows[0])


def dropout(key: Array, x: Float[Array, "*n h"], rate: float) -> Float[Array, "*n h"]:
    """Returns x with about `rate` of its entries zero and the others scaled up, so that its mean stays.

    One random byte decides each entry (flax draws four), so the rate is rounded to a multiple of 1/256. Measured on a
    CPU, 2 million entries: 2.8 ms against 16.
    """
    hidden = x.shape[-1]
    words = jax.random.bits(key, (*x.shape[:-1], -(-hidden // 4)))
    draw = lax.bitcast_convert_type(words, jnp.uint8).reshape(*x.shape[:-1], -1)[..., :hidden]
    dropped = min(round(rate * 256), 255)
    return jnp.where(draw >= dropped, x / (1 - dropped / 256), 0)


def initial_carry(config: ModelConfig, batch_size: int) -> Carry:
    """Returns the carry before the first step: zeros."""
    state = tuple(jnp.zeros((batch_size, config.hidden_size)) for _ in range(CELLS[config.cell].num_states))
    return (state,) * config.num_layers


def init_params(model: MusicModel, key: Array) -> dict[str, Any]:
    """Returns new parameters, for `model.apply({"params": params}, ...)`."""
    row = jnp.zeros((1, 1, len(model.field_sizes)), jnp.int32)
    start = jnp.zeros((1, 1), bool)
    return jax.jit(model.init)(key, row, row, start, initial_carry(model.config, 1))["params"]


def count_params(params: Any) -> int:
    """Returns the number of scalars in a tree of arrays (or of shapes, from `jax.eval_shape`)."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def nll(logits: list[Float[Array, "b t _"]], targets_btf: Int[Array, "b t f"]) -> Float[Array, "b t f"]:
    """Returns the cross-entropy of each field in nats: log(sum(exp(logits))) - logits[target]."""
    return jnp.stack([_field_nll(field, targets_btf[..., j]) for j, field in enumerate(logits)], axis=-1)


def _field_nll(logits_btv: Array, targets_bt: Array) -> Array:
    # A comparison instead of a gather: its gradient is elementwise, where a gather's is a scatter of single numbers.
    chosen = targets_bt[..., None] == jnp.arange(logits_btv.shape[-1], dtype=targets_bt.dtype)[None, None]
    return jax.nn.logsumexp(logits_btv, axis=-1) - jnp.sum(jnp.where(chosen, logits_btv, 0), axis=-1)
