"""The network: rows of field values in, logits of the next row's fields out.

Axes: b batch, t time step, f field, e embedding, h hidden, s head, v values of a field.

Parameters (float32):

    embedding_<i>        [v_i, e]                       config.inputs "embedding" only
    layers_<k>           as in model/recurrent.py       kernel, recurrent_kernel, bias, for gru recurrent_bias
                         or in model/mlstm.py           config.cell "mlstm" only
                         or in model/transformer.py     config.cell "transformer" only
    projection           [e, h]                         config.norm "pre" only: the residual stream begins with it
    norm_<k>, norm_out   [d], [h]                       likewise: scales of what layer k and the head read
    head/kernel, bias    [h, f * s], [f * s]            block j belongs to field j
    head/context_<i>_<j> [v_i, s]                       what field j > i learns from the value of field i
    head/output_<j>, output_bias_<j>  [s, v_j], [v_j]
    gate/...             model/copy_gate.py             config.copy only

Kernels start as in flax's cells (lecun normal, recurrent blocks orthogonal), biases at zero; with norm "pre" the forget
gate's bias starts at one.

With norm "pre", x_0 = input @ projection, x_k+1 = x_k + dropout(layer_k(rms_k(x_k))), where layer 0 reads rms_0(input),
and the head reads rms_out of the last (Xiong et al. 2020, Zhang and Sennrich 2019). With cell "mlstm" that is a stack
of xLSTM's pre-norm blocks, but that layer 0 reads the input before its projection.
Field values must lie in 0 to v - 1; whoever makes the rows sees to that.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jaxtyping import Bool, Float, Int, Key, Shaped

from ostinato.configs.schema import ModelConfig
from ostinato.model import cudnn
from ostinato.model.backend import memory_bytes, platform
from ostinato.model.copy_gate import CopyGate, Sources, no_alignment
from ostinato.model.field_head import FieldHead, embedding_init, sum_rows
from ostinato.model.kernels import Kernel, kernel_by_rule
from ostinato.model.layers import MLSTMLayer, TransformerLayer, dropout, make_layer
from ostinato.model.mlstm import mlstm_layer, zero_state
from ostinato.model.norms import inverse_rms, rms_norm
from ostinato.model.recurrent import CELLS, State, in_parts, multiply, recurrent_scan
from ostinato.model.transformer import empty_memory
from ostinato.music.alignment import NUM_BARS, NUM_POSITIONS, Alignment
from ostinato.music.keys import NUM_KEY_VALUES

Carry = tuple[State, ...]
"""One state per layer, each array [b, h] float32; of an mLSTM or a transformer those of its module."""

Tables = tuple[Float[Array, "v g"], ...]
"""Of each field, its embeddings times the first layer's kernel."""


class MusicModel(nn.Module):
    """Stacked recurrent layers and a head that predicts the fields of the next row one after the other."""

    config: ModelConfig
    field_sizes: tuple[int, ...]
    kernel: Kernel | None = None
    """How the recurrent layers are computed; None takes what `kernel_by_rule` says."""

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """The sizes of the columns that the network hears: the fields, then the key and the place, where it is told."""
        key = (NUM_KEY_VALUES,) if self.config.key_condition else ()
        place = (NUM_POSITIONS, NUM_BARS) if self.config.metrical_inputs else ()
        return (*self.field_sizes, *key, *place)

    def setup(self) -> None:
        config = self.config
        input_size = len(self.field_sizes)
        if config.inputs == "embedding":
            input_size = config.embedding_size
            self.embeddings = [
                self.param(f"embedding_{i}", embedding_init, (size, input_size))
                for i, size in enumerate(self.input_sizes)
            ]
        sizes = [input_size, *[config.hidden_size] * (config.num_layers - 1)]
        self.layers = [make_layer(config, size) for size in sizes]
        if config.norm == "pre":
            ones, hidden = nn.initializers.ones_init(), config.hidden_size
            self.projection = self.param("projection", nn.initializers.lecun_normal(), (input_size, hidden))
            self.norms = [self.param(f"norm_{k}", ones, (size,)) for k, size in enumerate(sizes)]
            self.norm_out = self.param("norm_out", ones, (hidden,))
        self.head = make_head(self)
        if config.copy:
            self.gate = make_gate(self)

    def __call__(
        self,
        inputs_btf: Int[Array, "b t f"],
        targets_btf: Int[Array, "b t f"],
        starts_bt: Bool[Array, "b t"],
        carry: Carry,
        dropout_keys: Key[Array, " b"] | None = None,
    ) -> tuple[list[Float[Array, "b t _"]], Carry]:
        """Returns the logits of every field of the rows after `inputs_btf`, and the carry after the last step.

        Teacher-forced: the logits of field j see the fields before j of `targets_btf` at the same step.
        With keys, one for each row, activations are dropped; without, none are.
        """
        features_bth, carry = self.features(inputs_btf, starts_bt, carry, dropout_keys)
        return self.head(features_bth, targets_btf), carry

    def features(
        self,
        inputs_btf: Int[Array, "b t f"],
        starts_bt: Bool[Array, "b t"],
        carry: Carry,
        dropout_keys: Key[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "b t h"], Carry]:
        """Returns what the head sees at every step, and the carry after the last.

        Where `starts_bt` is True the carry is set to zero before that step.
        """
        x, carry = self.features_by_time(inputs_btf, starts_bt, carry, dropout_keys)
        return jnp.swapaxes(x, 0, 1), carry

    def features_by_time(
        self,
        inputs_btf: Int[Array, "b t f"],
        starts_bt: Bool[Array, "b t"],
        carry: Carry,
        dropout_keys: Key[Array, " b"] | None = None,
    ) -> tuple[Float[Array, "t b h"], Carry]:
        """Returns what `features` does, with time first: as it is computed."""
        x: Array = jnp.swapaxes(self._columns(inputs_btf), 0, 1)
        is_normed = self.config.norm == "pre"
        if is_normed:
            layer_input = self._input(x)
            x = multiply(self.config.precision, layer_input, self.projection)
        else:
            layer_input = x
        states = []
        for number, state in enumerate(carry):
            if is_normed:
                layer_input = rms_norm(layer_input, self.norms[number])
            y, state = self._run_layer(number, layer_input, starts_bt.T, state)
            if dropout_keys is not None and self.config.dropout > 0:
                keys_of_layer = jax.vmap(jax.random.fold_in, (0, None))(dropout_keys, number)
                y = dropout(keys_of_layer, y, self.config.dropout)
            x = x + y if is_normed or (self.config.residual and number > 0) else y
            layer_input = x
            states.append(state)
        return rms_norm(x, self.norm_out) if is_normed else x, tuple(states)

    def heard(self, rows: Int[Array, "*n _"], alignment: Alignment | None) -> Int[Array, "*n _"]:
        """Returns rows, with a key or without, as the network hears them: with their place, where it is told."""
        if not self.config.metrical_inputs:
            return rows
        assert alignment is not None, "there is a copy gate"
        place = jnp.stack([jnp.asarray(x, rows.dtype) for x in (alignment.position, alignment.bar)], axis=-1)
        return jnp.concatenate([self._with_key(rows), place], axis=-1)

    def sources(self, features: Float[Array, "*n h"], alignment: Alignment) -> Sources:
        """Returns how likely the next row is the network's, or a copy from each lag, and how copies are varied."""
        return self.gate(features, alignment)

    def precompute(self) -> Tables | None:
        """Returns what `step` needs of the parameters. It is the same at every step, so ask for it once, outside."""
        return self._multiplied_tables() if self.config.inputs == "embedding" else None

    def initialize(self, row_btf: Int[Array, "b t f"], starts_bt: Bool[Array, "b t"], carry: Carry) -> None:
        """Goes through all parameters once, so that flax makes them."""
        alignment = no_alignment(*starts_bt.shape, row_btf.shape[-1])
        features_bth, _ = self.features(self.heard(row_btf, alignment), starts_bt, carry)
        self.head(features_bth, row_btf)
        if self.config.copy:
            self.gate(features_bth, alignment)

    def step(self, tables: Tables | None, row_bf: Int[Array, "b f"], carry: Carry) -> tuple[Float[Array, "b h"], Carry]:
        """Returns what the head sees after one more row, and the carry: `features` for sampling."""
        is_normed = self.config.norm == "pre"
        row_bf = self._columns(row_bf)
        x = None
        if is_normed:
            x, gates_bg = self._normed_first(tables, row_bf)
        elif tables is not None:
            gates_bg = sum_rows(tables, row_bf)
        else:
            gates_bg = self.layers[0].gates(self._input(row_bf))
        states = []
        for number, (layer, state) in enumerate(zip(self.layers, carry, strict=True)):
            if number > 0:
                assert x is not None, "there was a layer"
                gates_bg = layer.gates(rms_norm(x, self.norms[number]) if is_normed else x)
            y, state = layer.step(gates_bg, state)
            is_added = is_normed or (self.config.residual and number > 0)
            x = x + y if is_added and x is not None else y
            states.append(state)
        assert x is not None, "there is a layer"
        return rms_norm(x, self.norm_out) if is_normed else x, tuple(states)

    def _normed_first(
        self, tables: Tables | None, row_bf: Int[Array, "b f"]
    ) -> tuple[Float[Array, "b h"], Float[Array, "b g"]]:
        """Returns where the residual stream begins, and what the first layer's gates get.

        The tables hold both, not normalised: the norm divides by one number for each row, which can come last.
        """
        x = self._input(row_bf)
        if tables is None:
            return multiply(self.config.precision, x, self.projection), self.layers[0].gates(rms_norm(x, self.norms[0]))
        begin, gates = jnp.split(sum_rows(tables, row_bf), [self.config.hidden_size], axis=-1)
        return begin, gates * inverse_rms(x)

    def field_parts(self, features_bh: Float[Array, "b h"]) -> list[Float[Array, "b s"]]:
        """Returns what each field takes from the features, for `field_logits`: one matmul for all of them."""
        return self.head.parts(features_bh)

    def field_logits(
        self, part_bs: Float[Array, "b s"], chosen_bf: Int[Array, "b f"], field: int
    ) -> Float[Array, "b v"]:
        """Returns the logits of one field from its part, given the first `field` columns of `chosen_bf`.

        The part must not be added to in the loop that looks up the context: XLA:CPU would then compute one number at a
        time, of the gelu, too.
        """
        if field > 0:
            part_bs = part_bs + lax.optimization_barrier(self.head.context(chosen_bf, field))
        return self.head.logits(part_bs, field)

    def _run_layer(
        self, number: int, x: Shaped[Array, "t b _"], starts_tb: Bool[Array, "t b"], state: State
    ) -> tuple[Float[Array, "t b h"], State]:
        """Returns the layer's h after every step and its state; x may be rows for layer 0, else the layer's input."""
        layer, config = self.layers[number], self.config
        if isinstance(layer, MLSTMLayer):
            keep = config.recompute == "never"
            return mlstm_layer(x, layer.params, starts_tb, state, config.precision, keep_projection=keep)
        if isinstance(layer, TransformerLayer):
            return layer.run(layer.gates(x), starts_tb, state)
        is_rows = number == 0 and config.norm == "none"
        params = layer.params  # asked for here, so that flax does not set the layer up inside of `in_parts`
        kernel = self.kernel or kernel_by_rule(config, *starts_tb.shape)
        if kernel.backend == "cudnn":
            return cudnn.recurrent_layer(self._input(x) if is_rows else x, params, starts_tb, state)
        gates_of = self._first_gates(x.shape[0] * x.shape[1]) if is_rows else layer.gates
        num_parts = choose_parts(config, *starts_tb.shape)

        def run(x: Array, starts_tb: Array, state: State) -> tuple[Array, State]:
            return recurrent_scan(config.cell, kernel.layout(config), gates_of(x), params, starts_tb, state)

        return in_parts(run, num_parts, x, starts_tb, state) if num_parts else run(x, starts_tb, state)

    def _first_gates(self, num_rows: int) -> Callable[[Int[Array, "*n f"]], Float[Array, "*n g"]]:
        """Returns what gives the first layer's gates their part of a row: the sum of its embeddings times the kernel.

        On a CPU the tables are multiplied by the kernel instead, once a step, and the rows of the products are added
        up: no matmul over the batch. Measured forward and backward (5 fields, 4096 rows of jsfakes, e 128, without
        page faults): 5.5 ms for h 128 and 28 for h 512, against 21 and 78.
        """
        if self.config.inputs == "embedding" and platform() == "cpu" and num_rows >= sum(self.input_sizes):
            tables = self._multiplied_tables()
            return lambda values: sum_rows(tables, values)
        return lambda values: self.layers[0].gates(self._input(values))

    def _multiplied_tables(self) -> Tables:
        embeddings = jnp.concatenate(self.embeddings)
        if self.config.norm == "pre":
            begin: Array = multiply(self.config.precision, embeddings, self.projection)
            products = jnp.concatenate([begin, self.layers[0].gates(embeddings * self.norms[0][None])], axis=1)
        else:
            products = self.layers[0].gates(embeddings)
        return tuple(jnp.split(products, np.cumsum(self.input_sizes)[:-1]))

    def _with_key(self, rows: Int[Array, "*n _"]) -> Int[Array, "*n _"]:
        """Returns rows with a column for the key, where the network is told it; where it is not said, it is unknown."""
        missing = len(self.field_sizes) + self.config.key_condition - rows.shape[-1]
        return jnp.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, missing)]) if missing > 0 else rows

    def _columns(self, rows: Int[Array, "*n _"]) -> Int[Array, "*n _"]:
        """Returns all columns that the network hears. Unlike the key, the place is not made up here: see `heard`."""
        rows = self._with_key(rows)
        assert rows.shape[-1] == len(self.input_sizes), "rows without their place in the bar"
        return rows

    def _input(self, values: Int[Array, "*n f"]) -> Float[Array, "*n d"]:
        """Returns the sum of the fields' embeddings, or each field as a number from 0 to 1 (the paper)."""
        if self.config.inputs == "normalized":
            largest_f = jnp.maximum(jnp.array(self.field_sizes, jnp.float32) - 1, 1)
            return values.astype(jnp.float32) / jnp.expand_dims(largest_f, tuple(range(values.ndim - 1)))
        return sum_rows(self.embeddings, values)


def make_head(model: MusicModel) -> FieldHead:
    """Returns the head alone; its parameters are those named `head`."""
    config = model.config
    return FieldHead(model.field_sizes, config.hidden_size, config.head_size, config.precision)


def make_gate(model: MusicModel) -> CopyGate:
    """Returns the copy gate alone; its parameters are those named `gate`."""
    config = model.config
    return CopyGate(len(model.field_sizes), config.hidden_size, config.precision, config.copy_lags)


def choose_parts(config: ModelConfig, length: int, num_rows: int) -> int:
    """Returns in how many parts of the sequence the layers are computed again in the backward pass; 0 is not at all.

    "auto" does so where gates, states and outputs of all layers would take more than half of the device's memory, as
    far as that is known. The parts are about as many as the steps of each, so that gates and kept states balance.
    """
    if config.recompute == "never":
        return 0
    cell = CELLS[config.cell]
    num_bytes = 4 * config.num_layers * length * num_rows * config.hidden_size * (cell.num_gates + cell.num_states)
    if config.recompute == "auto" and num_bytes <= memory_bytes() / 2:
        return 0
    return min((n for n in range(1, length + 1) if length % n == 0), key=lambda n: abs(n - length**0.5))


def initial_carry(config: ModelConfig, batch_size: int) -> Carry:
    """Returns the carry before the first step: zeros."""
    if config.cell == "mlstm":
        return (zero_state(config, batch_size),) * config.num_layers
    if config.cell == "transformer":
        return (empty_memory(config, batch_size),) * config.num_layers
    state = tuple(jnp.zeros((batch_size, config.hidden_size)) for _ in range(CELLS[config.cell].num_states))
    return (state,) * config.num_layers


def carry_numbers(config: ModelConfig) -> int:
    """Returns how many numbers the carry of one sequence has."""
    return count_params(jax.eval_shape(lambda: initial_carry(config, 1)))


def init_params(model: MusicModel, key: Array) -> dict[str, Any]:
    """Returns new parameters, for `model.apply({"params": params}, ...)`."""
    return _init(model, key)


@functools.partial(jax.jit, static_argnums=0)  # compiling takes seconds: once for all models of the same sizes
def _init(model: MusicModel, key: Array) -> dict[str, Any]:
    row = jnp.zeros((1, 1, len(model.field_sizes)), jnp.int32)
    start = jnp.zeros((1, 1), bool)
    return dict(model.init(key, row, start, initial_carry(model.config, 1), method=MusicModel.initialize)["params"])


def count_params(params: Any) -> int:
    """Returns the number of scalars in a tree of arrays (or of shapes, from `jax.eval_shape`)."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
