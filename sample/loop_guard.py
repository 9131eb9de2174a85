"""Notices that a sequence repeats itself exactly, and heats it until it stops. Letters: b sequences, p periods.

A network that is drawn from coldly may fall into a loop: one note for ever, or the same few bars. The guard compares
each row, without its loudness, with the rows 1 to MAX_PERIOD before it. Where the last rows are a pattern heard
`repeats` times in a row, and at least MIN_ROWS of them only repeat, the temperature rises from row to row, and top-k,
top-p and min-p are set aside, until a row breaks the pattern.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.music.codec import Codec

MAX_PERIOD = 128
"""Rows of the longest pattern that is noticed: eight bars of four voices in quarter notes."""

MIN_ROWS = 32
"""A pattern shorter than this may be heard more often before it counts as a loop."""

_HEATING, _COOLING, _HOTTEST = 1.1, 0.8, 4.0


class LoopGuard(NamedTuple):
    """What is remembered of each sequence."""

    history: Int[Array, "b p"]
    """The last rows as one number each, the newest first."""
    repeated: Int[Array, "b p"]
    """How many rows in a row were equal to the one so many rows before them."""
    heat: Float[Array, " b"]
    """The temperature is multiplied by it; 1 where there is no loop."""
    is_looping: Bool[Array, " b"]
    num_loops: Int[Array, " b"]
    """Loops that were noticed."""


def start_guard(batch_size: int) -> LoopGuard:
    """Returns the guard before the first row."""
    return LoopGuard(
        history=jnp.full((batch_size, MAX_PERIOD), -1, jnp.int32),
        repeated=jnp.zeros((batch_size, MAX_PERIOD), jnp.int32),
        heat=jnp.ones((batch_size,)),
        is_looping=jnp.zeros((batch_size,), bool),
        num_loops=jnp.zeros((batch_size,), jnp.int32),
    )


def watch(
    guard: LoopGuard, codec: Codec, row: Int[Array, "b f"], repeats: Int[Array, ""], is_given: Bool[Array, " b"]
) -> LoopGuard:
    """Returns the guard after a row; with `repeats` 0 it never acts, and never on rows that are given."""
    number = _number(codec, row)
    repeated = jnp.where(number[:, None] == guard.history, guard.repeated + 1, 0)
    period = jnp.arange(1, MAX_PERIOD + 1)[None, :]
    enough = jnp.maximum((repeats - 1) * period, MIN_ROWS)
    is_looping = jnp.any(repeated >= enough, axis=1) & (repeats > 0) & ~is_given
    heat = jnp.where(is_looping, guard.heat * _HEATING, 1 + (guard.heat - 1) * _COOLING)
    return LoopGuard(
        history=jnp.concatenate([number[:, None], guard.history[:, :-1]], axis=1),
        repeated=repeated,
        heat=jnp.minimum(heat, _HOTTEST),
        is_looping=is_looping,
        num_loops=guard.num_loops + (is_looping & ~guard.is_looping).astype(jnp.int32),
    )


def _number(codec: Codec, row: Int[Array, "b f"]) -> Int[Array, " b"]:
    """Returns a number that is another for every row, but for its loudness (which may waver while the notes do not)."""
    number = jnp.zeros((len(row),), jnp.int32)
    for j, field in enumerate(codec.fields):
        if field.name != "velocity":
            number = number * field.size + row[:, j]
    return number
