"""The judge: a small network that hears an excerpt of music from both ends and says whether a person wrote it.

Axes: b batch, t note, f field, e embedding, h hidden.

Parameters (float32):

    embedding_<i>        [v_i, e]                       of each field of a note
    forward, backward    as in model/recurrent.py       a GRU in each direction: kernel, recurrent_kernel, bias, ...
    output, output_bias  [2 h], []                      a score for each note from both states

What it says of an excerpt is the mean of the scores of its notes: so each note, and each bar, has its share in it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Int, Key

from ostinato.model.field_head import embedding_init, sum_rows
from ostinato.model.layers import RecurrentLayer, dropout
from ostinato.model.recurrent import choose_layout, recurrent_scan


class Judge(nn.Module):
    """A bidirectional GRU over the notes of an excerpt."""

    field_sizes: tuple[int, ...]
    embedding_size: int = 32
    hidden_size: int = 48
    dropout: float = 0.3
    """Share of the embeddings' and the states' numbers that are dropped while it is trained."""

    def setup(self) -> None:
        size, hidden = self.embedding_size, self.hidden_size
        self.embeddings = [
            self.param(f"embedding_{i}", embedding_init, (values, size)) for i, values in enumerate(self.field_sizes)
        ]
        self.forward = RecurrentLayer("gru", size, hidden)
        self.backward = RecurrentLayer("gru", size, hidden)
        self.output = self.param("output", nn.initializers.normal(1 / hidden**0.5), (2 * hidden,))
        self.output_bias = self.param("output_bias", nn.initializers.zeros_init(), ())

    def __call__(
        self, rows_btf: Int[Array, "b t f"], dropout_keys: Key[Array, " b"] | None = None
    ) -> Float[Array, "b t"]:
        """Returns the score of each note; above 0 speaks for a machine. With keys, one for each row, it is trained."""
        keys = None if dropout_keys is None else jax.vmap(lambda key: jax.random.split(key, 2))(dropout_keys)
        x = sum_rows(self.embeddings, jnp.swapaxes(rows_btf, 0, 1))
        if keys is not None:
            x = dropout(keys[:, 0], x, self.dropout)
        ahead = _states(self.forward, x)
        back = jnp.flip(_states(self.backward, jnp.flip(x, 0)), 0)
        states = jnp.concatenate([ahead, back], axis=-1)
        if keys is not None:
            states = dropout(keys[:, 1], states, self.dropout)
        return jnp.swapaxes(states @ self.output + self.output_bias[None, None], 0, 1)


def _states(layer: RecurrentLayer, x: Float[Array, "t b e"]) -> Float[Array, "t b h"]:
    length, num_rows, _ = x.shape
    never, carry = jnp.zeros((length, num_rows), bool), (jnp.zeros((num_rows, layer.hidden_size)),)
    layout = choose_layout(num_rows, "float32")
    return recurrent_scan(layer.cell, layout, layer.gates(x), layer.params, never, carry)[0]


def init_judge(judge: Judge, key: Array) -> dict[str, Any]:
    """Returns new parameters, for `judge.apply({"params": params}, ...)`."""
    row = jnp.zeros((1, 1, len(judge.field_sizes)), jnp.int32)
    return dict(jax.jit(judge.init)(key, row)["params"])
