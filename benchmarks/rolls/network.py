"""The LSTM under both columns of the benchmark: frames in, features out.

Axes: t time step, b row, k key, d input, h hidden.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Int, Key, UInt8

from ostinato.benchmarks.rolls.read import NUM_KEYS
from ostinato.model.layers import dropout
from ostinato.model.recurrent import LayerParams, State, recurrent_layer

NUM_SHIFTS = 12
"""A frame's transposition is an input too, modulo the octave: at test it is always 0."""


class Regularisation(NamedTuple):
    """What training drops; each is the share of entries that are set to zero, the others are scaled up."""

    input: float = 0.0
    """Of the keys that go in, anew at each step."""
    hidden: float = 0.0
    """Of what each layer puts out, anew at each step."""
    recurrent: float = 0.0
    """Of the recurrent weights, the same for all steps and rows (Merity et al. 2018, "weight drop")."""
    head: float = 0.0
    """Of the chord head's hidden units, anew for each choice."""


def init_layers(key: Key[Array, ""], hidden_size: int, num_layers: int) -> tuple[LayerParams, ...]:
    """Returns new layers: orthogonal recurrent blocks, and a bias of 1 on the forget gate."""
    layers = []
    for number, layer_key in enumerate(jax.random.split(key, num_layers)):
        input_size = NUM_KEYS + NUM_SHIFTS if number == 0 else hidden_size
        kernel_key, recurrent_key = jax.random.split(layer_key)
        orthogonal = jax.nn.initializers.orthogonal()
        blocks = [orthogonal(k, (hidden_size, hidden_size)) for k in jax.random.split(recurrent_key, 4)]
        forget_bias = jnp.zeros((4, hidden_size)).at[1].set(1.0).reshape(-1)
        kernel = jax.nn.initializers.lecun_normal()(kernel_key, (input_size, 4 * hidden_size))
        layers.append(LayerParams(kernel, jnp.concatenate(blocks, axis=1), forget_bias))
    return tuple(layers)


def initial_carry(layers: tuple[LayerParams, ...], num_rows: int) -> tuple[State, ...]:
    """Returns zeros."""
    return tuple((jnp.zeros((num_rows, len(p.recurrent_kernel))),) * 2 for p in layers)


def features(
    layers: tuple[LayerParams, ...],
    inputs_tbk: UInt8[Array, "t b k"],
    shifts_tb: Int[Array, "t b"],
    starts_tb: Bool[Array, "t b"],
    carry: tuple[State, ...],
    regularisation: Regularisation = Regularisation(),  # noqa: B008  # a constant
    key: Key[Array, ""] | None = None,
) -> tuple[Float[Array, "t b h"], tuple[State, ...]]:
    """Returns the last layer's output after every step, and the carry; drops nothing without a key."""
    shifts_tbd = jax.nn.one_hot(shifts_tb % NUM_SHIFTS, NUM_SHIFTS)
    x = inputs_tbk.astype(jnp.float32)
    num_rows = x.shape[1]
    if key is not None and regularisation.input > 0:
        x = dropout(jax.random.split(jax.random.fold_in(key, 1000), num_rows), x, regularisation.input)
    x = jnp.concatenate([x, shifts_tbd], axis=-1)
    states = []
    for number, (params, state) in enumerate(zip(layers, carry, strict=True)):
        if key is not None and regularisation.recurrent > 0:
            kept = jax.random.bernoulli(
                jax.random.fold_in(key, 2000 + number), 1 - regularisation.recurrent, params.recurrent_kernel.shape
            )
            dropped = jnp.where(kept, params.recurrent_kernel / (1 - regularisation.recurrent), 0)
            params = params._replace(recurrent_kernel=dropped)
        x, state = recurrent_layer("lstm", x, params, starts_tb, state)
        if key is not None and regularisation.hidden > 0:
            x = dropout(jax.random.split(jax.random.fold_in(key, number), num_rows), x, regularisation.hidden)
        states.append(state)
    return x, tuple(states)
