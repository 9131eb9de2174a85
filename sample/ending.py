"""How a piece of so many bars comes to an end: in its last bar END is more probable than the model alone would have it.

A model ends pieces after a cadence. In the last bar that is asked for, END may come, and its odds are raised: what it
gives after a final chord is enough then, what it gives elsewhere is not. A model of long pieces has hardly seen an end:
half of the takes of the last bars hold what sounds first in the last of them, nothing begins after it. That is a chord
of a triad on the bar line, as far as the piece allows one (`--final-chord`). Of all takes one that closes on a long
consonant chord is kept, among these one that the model ended, among these that whose END was the most probable. A piece
that finds no end is cut, as one for which no end is asked for. Drums alone close on a bass drum or a crash instead of a
chord, and END may come only with a whole bar or on its first beat (`Grammar.may_rest`).

A piece without a length, which the model ends where it likes, gets a last bar as it nears the most notes that it may
have: the next but one, while there is still room for some bars. It has one take, which holds what begins there.
Letters: b sequences, v values.
"""

import math
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ostinato.model.network import MusicModel
from ostinato.music.codec import Codec, Grammar
from ostinato.sample.clock import Clock, Length

NUM_TAKES = 8
"""Takes of each ending; they are equal until its last bars."""

HELD = 0.5
"""The first take that holds what begins in the last bar."""

_BARS_OF_TAKES = 2
_BARS_TO_CLOSE = _BARS_OF_TAKES + 1
_NATS = 6.0
"""By how much END's odds are raised."""


def closes_at(
    closes: Int[Array, " b"], num_notes: Int[Array, " b"], most_notes: Int[Array, ""], clock: Clock
) -> Int[Array, " b"]:
    """Returns after how many bars a piece without a length is over; FOREVER as long as it may go on.

    It is to close with the last eighth of its notes, or earlier, in their second half, where twice as many bars as
    closing takes, as full as its bars have been, would have all of them: music may get denser.

    Args:
        closes: what was returned before.
        num_notes: that it has.
        most_notes: that it may have.
        clock: where it is.
    """
    bars, notes, most = (x.astype(jnp.float32) for x in (jnp.maximum(clock.bars, 0), num_notes, most_notes))
    are_few_bars = (notes >= most / 2) & (notes * (bars + 2 * _BARS_TO_CLOSE) >= most * bars)
    is_near = (notes >= most * 7 / 8) | are_few_bars
    return jnp.where(is_near, jnp.minimum(closes, clock.bars + _BARS_TO_CLOSE), closes)


def is_last_bar(ends: Bool[Array, ""], length: Length, clock: Clock) -> Bool[Array, " b"]:
    """Returns where the last bar that was asked for has begun, if it is to end the piece."""
    return ends & (clock.bars == length.bars - 1)


def take_of(
    uniform: Float[Array, "b f"], take: Float[Array, " b"], ends: Bool[Array, ""], length: Length, clock: Clock
) -> Float[Array, "b f"]:
    """Returns what decides the fields in a take: other numbers from the last bars on, as evenly distributed.

    Args:
        uniform: what decides in the first take, in [0, 1).
        take: of each sequence, from 0 to less than 1.
        ends: whether the piece is to end.
        length: how long it is.
        clock: where it is.
    """
    is_near = ends & (clock.bars >= length.bars - _BARS_OF_TAKES)
    moved = uniform + jnp.where(is_near, take, 0)[:, None]
    return jnp.where(moved >= 1, moved - 1, moved)


def holds(take: Float[Array, " b"]) -> Bool[Array, " b"]:
    """Returns which takes hold what begins in the last bar: the later half of them."""
    return take >= HELD


def is_final(is_last: Bool[Array, " b"], take: Float[Array, " b"], is_note: Bool[Array, " b"]) -> Bool[Array, " b"]:
    """Returns where the piece is over unless more notes begin with the last one.

    Args:
        is_last: from `is_last_bar`.
        take: of each sequence; see `holds`.
        is_note: the last row is one.
    """
    return is_last & is_note & holds(take)


def closing_values(
    grammar: Grammar,
    memory: Any,
    row: Int[Array, "b f"],
    field: int,
    allowed: Bool[Array, "b v"],
    has_chord: Bool[Array, " b"],
    length: Length,
    clock: Clock,
) -> Bool[Array, "b v"]:
    """Returns the values of a field that may be chosen where the last bar is to begin with a final chord.

    Args:
        grammar: of the codec.
        memory: the grammar's state.
        row: the fields before this one.
        field: its number.
        allowed: what may be chosen otherwise, and where no such value belongs to a final chord.
        has_chord: the takes that are to close so.
        length: how long the piece is.
        clock: where it is.
    """
    bars = jnp.minimum(length.bars - 1 - clock.bars, _BARS_OF_TAKES)
    begin = bars * clock.bar_length - clock.bar_position
    is_near = has_chord & (clock.bars >= length.bars - _BARS_OF_TAKES)

    def of_chord() -> Bool[Array, "b v"]:
        values = grammar.final_chord(jnp, memory, row, field, begin)
        closing = allowed if values is None else allowed & values
        return jnp.where((is_near & jnp.any(closing, axis=1))[:, None], closing, allowed)

    return jax.lax.cond(jnp.any(is_near), of_chord, lambda: allowed)


def end_bias(
    model: MusicModel, params: Any, codec: Codec, parts: list[Float[Array, "b s"]], is_last: Bool[Array, " b"]
) -> dict[int, Float[Array, "b v"]]:
    """Returns what is added to the logits of some fields, by their numbers, so that END's odds are as high as wanted.

    END is chosen by one field, and stands at no time of its own: a time shift before that field is 0. So 0 gets what
    END, given that shift, adds to it.
    """
    field, value = codec.eos
    sizes = [one.size for one in codec.fields]
    bias = {field: jnp.where(is_last[:, None] & (jnp.arange(sizes[field]) == value)[None, :], _NATS, 0.0)}
    if field > 0:

        def added() -> Float[Array, " b"]:
            end = jnp.broadcast_to(jnp.asarray(codec.end, jnp.int32), (len(is_last), len(sizes)))
            logits = model.apply({"params": params}, parts[field], end, field, method=MusicModel.field_logits)
            probability = jax.nn.softmax(cast("Array", logits))[:, value]
            return jnp.where(is_last, jnp.log1p(probability * (math.exp(_NATS) - 1)), 0.0)

        of_shift = jax.lax.cond(jnp.any(is_last), added, lambda: jnp.zeros(is_last.shape))
        is_ends = jnp.arange(sizes[field - 1]) == codec.end[field - 1]
        bias[field - 1] = jnp.where(is_ends[None, :], of_shift[:, None], 0.0)
    return bias
