"""A model of either column: its parameters, what it scores on a stretch of frames, and on whole pieces.

Axes: t time step, b row, k key, m choice.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jaxtyping import Bool, Float, Int, Key, UInt8

from ostinato.benchmarks.rolls import network
from ostinato.benchmarks.rolls.chord_head import Choices, ChordHead, choice_nll, init_chord_head, list_choices
from ostinato.benchmarks.rolls.network import Regularisation
from ostinato.benchmarks.rolls.read import NUM_KEYS, Roll
from ostinato.benchmarks.rolls.recipes import Recipe
from ostinato.benchmarks.rolls.score import Score
from ostinato.benchmarks.rolls.streams import Steps, cut, lay_out
from ostinato.model.recurrent import LayerParams, State

Carry = tuple[State, ...]


class FrameHead(NamedTuple):
    """Column A, 88 independent Bernoulli outputs a frame: logits = features @ kernel + bias."""

    kernel: Float[Array, "h k"]
    bias: Float[Array, " k"]


class Parameters(NamedTuple):
    """Of the layers, and of the head of the recipe's column."""

    layers: tuple[LayerParams, ...]
    head: FrameHead | ChordHead


class Chunk(NamedTuple):
    """A stretch of all rows on the device; `Steps` says what is what."""

    inputs_tbk: UInt8[Array, "t b k"]
    targets_tbk: UInt8[Array, "t b k"]
    starts_tb: Bool[Array, "t b"]
    real_tb: Bool[Array, "t b"]
    shifts_tb: Int[Array, "t b"]
    choices: Choices | None
    """Only for the chord head."""


def init_parameters(key: Key[Array, ""], recipe: Recipe) -> Parameters:
    """Returns a new model."""
    layer_key, head_key = jax.random.split(key)
    layers = network.init_layers(layer_key, recipe.hidden_size, recipe.num_layers)
    if recipe.column == "frame":
        kernel = jax.nn.initializers.lecun_normal()(head_key, (recipe.hidden_size, NUM_KEYS))
        return Parameters(layers, FrameHead(kernel, jnp.full(NUM_KEYS, -3.0)))
    return Parameters(layers, init_chord_head(head_key, recipe.hidden_size, recipe.head_size, NUM_KEYS))


def put(steps: Steps, recipe: Recipe, room: int = 0) -> Chunk:
    """Returns the steps on the device. Choices get the room that the chunk before had, and more only in large steps.

    So few shapes are compiled.
    """
    choices = None
    if recipe.column == "chord":
        targets_nk, real_n = steps.targets_tbk.reshape(-1, NUM_KEYS), steps.real_tb.reshape(-1)
        needed = int(targets_nk[real_n].sum() + real_n.sum())
        if needed > room:
            room = -(-needed // len(real_n)) * len(real_n)
        choices = list_choices(targets_nk, real_n, room)
    return Chunk(
        jnp.asarray(steps.inputs_tbk),
        jnp.asarray(steps.targets_tbk),
        jnp.asarray(steps.starts_tb),
        jnp.asarray(steps.real_tb),
        jnp.asarray(steps.shifts_tb, jnp.int32),
        choices,
    )


def room_of(chunk: Chunk) -> int:
    """Returns how many choices have a place in it."""
    return 0 if chunk.choices is None else len(chunk.choices.frame_m)


def sum_nats(
    params: Parameters,
    carry: Carry,
    chunk: Chunk,
    regularisation: Regularisation = Regularisation(),  # noqa: B008  # a constant
    key: Key[Array, ""] | None = None,
) -> tuple[Float[Array, ""], Carry]:
    """Returns the nats of all real frames together, and the carry. Nothing is dropped without a key."""
    features_tbh, carry = network.features(
        params.layers, chunk.inputs_tbk, chunk.shifts_tb, chunk.starts_tb, carry, regularisation, key
    )
    if isinstance(params.head, FrameHead):
        logits_tbk = features_tbh @ params.head.kernel + params.head.bias[None, None]
        nats_tbk = optax.sigmoid_binary_cross_entropy(logits_tbk, chunk.targets_tbk.astype(jnp.float32))
        return jnp.sum(jnp.where(chunk.real_tb[..., None], nats_tbk, 0)), carry
    assert chunk.choices is not None, "made for the other column"
    nats_m = choice_nll(
        params.head,
        features_tbh.reshape(-1, features_tbh.shape[-1]),
        chunk.inputs_tbk.reshape(-1, NUM_KEYS),
        chunk.targets_tbk.reshape(-1, NUM_KEYS),
        chunk.choices,
        dropped=regularisation.head,
        key=None if key is None else jax.random.fold_in(key, 3000),
    )
    return jnp.sum(nats_m * chunk.choices.weight_m), carry


def measure(
    params: Parameters, pieces: Sequence[Roll], recipe: Recipe, *, num_rows: int = 16, length: int = 128
) -> Score:
    """Returns the nats of frames 2..T of every piece, each read from its start with a zero state.

    `num_rows` and `length` say how many frames are computed at a time, and change nothing else.
    """
    carry = network.initial_carry(params.layers, num_rows)
    nats, frames, room = 0.0, 0, 0
    for steps in cut(lay_out(pieces, num_rows, length), length):
        chunk = put(steps, recipe, room)
        room = room_of(chunk)
        chunk_nats, carry = _measured(params, carry, chunk)
        nats += float(chunk_nats)
        frames += int(np.count_nonzero(steps.real_tb))
    return Score(nats, frames)


@jax.jit
def _measured(params: Parameters, carry: Carry, chunk: Chunk) -> tuple[Array, Carry]:
    return sum_nats(params, carry, chunk)
