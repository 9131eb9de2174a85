"""Rows that are given with the time at which they stand, while everything else is chosen around them.

Letters: b sequences, m given rows, f fields.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

_SHIFT, _INSTRUMENT = 0, 1
_NEVER = 2**30


class Schedule(NamedTuple):
    """The given rows in order, the same for all sequences; filled up at the end with rows that never come.

    Other notes lie between `free_from` and `free_until`, where no program of theirs may have given notes.
    """

    time: Int[Array, " m"]
    """Steps since START."""
    row: Int[Array, "m f"]
    """Its shift is not looked at: it follows from the row that comes to stand before it."""
    length: Int[Array, ""]
    """Rows that come."""
    free_from: Int[Array, ""]
    """Steps since START."""
    free_until: Int[Array, ""]
    """Steps since START; other notes end by then, too."""
    hold_at: Int[Array, ""]
    """Sequences that have had this many given rows wait for the others."""
    ends: Bool[Array, ""]
    """The piece ends with the last given row."""


class Due(NamedTuple):
    """The next given row of each sequence. All times are steps from now."""

    wait: Int[Array, " b"]
    """Never negative; very long where no row is left."""
    row: Int[Array, "b f"]
    free_from: Int[Array, " b"]
    free_until: Int[Array, " b"]


def next_due(schedule: Schedule, num_given: Int[Array, " b"], now: Int[Array, " b"]) -> Due:
    """Returns what is due for sequences that have had `num_given` of the rows."""
    index = jnp.minimum(num_given, len(schedule.time) - 1)
    return Due(
        wait=jnp.where(num_given < schedule.length, schedule.time[index] - now, _NEVER),
        row=schedule.row[index],
        free_from=schedule.free_from - now,
        free_until=schedule.free_until - now,
    )


def is_taken(due: Due, row: Int[Array, "b f"], num_chosen: int) -> Bool[Array, " b"]:
    """Tells where a row, of which the first `num_chosen` fields are chosen, is the one that is due.

    The instrument decides: programs of given notes are not free to be chosen.
    """
    at_its_time = row[:, _SHIFT] == due.wait
    return at_its_time & (row[:, _INSTRUMENT] == due.row[:, _INSTRUMENT]) & (num_chosen > _INSTRUMENT)
