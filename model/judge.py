"""The judge: a small network that hears an excerpt of music and says whether a person wrote it.

It hears it from both ends, or, where the network is to learn from it while it writes, only what came before.

Axes: b batch, t note, f field, e embedding, h hidden.

Parameters (float32):

    embedding_<i>        [v_i, e]                       of each field of a note
    forward, backward    as in model/recurrent.py       a GRU in each direction: kernel, recurrent_kernel, bias, ...
    output, output_bias  [2 h], []                      a score for each note from both states
                         [h], []                        and no `backward`: where it is causal

What it says of an excerpt is the mean of the scores of its notes: so each note, and each bar, has its share in it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Key

from ostinato.model.field_head import embedding_init, sum_rows
from ostinato.model.layers import RecurrentLayer, dropout
from ostinato.model.recurrent import choose_layout, recurrent_scan


class Judge(nn.Module):
    """A GRU over the notes of an excerpt, in both directions unless it is causal."""

    field_sizes: tuple[int, ...]
    embedding_size: int = 32
    hidden_size: int = 48
    dropout: float = 0.3
    """Share of the embeddings' and the states' numbers that are dropped while it is trained."""
    is_causal: bool = False
    """The score of a note depends on it and those before alone."""

    def setup(self) -> None:
        size, hidden = self.embedding_size, self.hidden_size
        self.embeddings = [
            self.param(f"embedding_{i}", embedding_init, (values, size)) for i, values in enumerate(self.field_sizes)
        ]
        self.forward = RecurrentLayer("gru", size, hidden)
        if not self.is_causal:
            self.backward = RecurrentLayer("gru", size, hidden)
        num_states = hidden if self.is_causal else 2 * hidden
        self.output = self.param("output", nn.initializers.normal(1 / hidden**0.5), (num_states,))
        self.output_bias = self.param("output_bias", nn.initializers.zeros_init(), ())

    def __call__(
        self,
        rows_btf: Int[Array, "b t f"],
        dropout_keys: Key[Array, " b"] | None = None,
        starts_bt: Bool[Array, "b t"] | None = None,
    ) -> Float[Array, "b t"]:
        """Returns the score of each note; above 0 speaks for a machine. With keys, one for each row, it is trained.

        Where `starts_bt` is True, what was before the note is forgotten; only where the judge is causal.
        """
        assert starts_bt is None or self.is_causal, "from behind, a start is an end"
        keys = None if dropout_keys is None else jax.vmap(lambda key: jax.random.split(key, 2))(dropout_keys)
        x = sum_rows(self.embeddings, jnp.swapaxes(rows_btf, 0, 1))
        if keys is not None:
            x = dropout(keys[:, 0], x, self.dropout)
        starts_tb = jnp.zeros(x.shape[:2], bool) if starts_bt is None else starts_bt.T
        states = _states(self.forward, x, starts_tb)
        if not self.is_causal:
            back = jnp.flip(_states(self.backward, jnp.flip(x, 0), starts_tb), 0)
            states = jnp.concatenate([states, back], axis=-1)
        if keys is not None:
            states = dropout(keys[:, 1], states, self.dropout)
        return jnp.swapaxes(states @ self.output + self.output_bias[None, None], 0, 1)


def _states(layer: RecurrentLayer, x: Float[Array, "t b e"], starts_tb: Bool[Array, "t b"]) -> Float[Array, "t b h"]:
    num_rows = x.shape[1]
    layout, carry = choose_layout(num_rows, "float32"), (jnp.zeros((num_rows, layer.hidden_size)),)
    return recurrent_scan(layer.cell, layout, layer.gates(x), layer.params, starts_tb, carry)[0]


def init_judge(judge: Judge, key: Array) -> dict[str, Any]:
    """Returns new parameters, for `judge.apply({"params": params}, ...)`."""
    row = jnp.zeros((1, 1, len(judge.field_sizes)), jnp.int32)
    return dict(jax.jit(judge.init)(key, row)["params"])
