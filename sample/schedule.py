"""Rows that are given with the time at which they stand, while everything else is chosen around them.

Letters: b sequences, m given rows, f fields.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from ostinato.music.codec import FOREVER, Due, Elapsed


class Schedule(NamedTuple):
    """The given rows in order, the same for all sequences; filled up at the end with rows that never come.

    Other notes lie between `free_from` and `free_until`, where no program of theirs may have given notes.
    """

    time: Int[Array, " m"]
    """Steps since START."""
    row: Int[Array, "m f"]
    """The first column, its time shift, is not looked at: it follows from the row that comes to stand before it."""
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


def next_due(schedule: Schedule, num_given: Int[Array, " b"], now: Int[Array, " b"]) -> Due:
    """Returns what is due for sequences that have had `num_given` of the rows."""
    index = jnp.minimum(num_given, len(schedule.time) - 1)
    return Due(
        wait=jnp.where(num_given < schedule.length, schedule.time[index] - now, FOREVER),
        row=schedule.row[index],
        free_until=schedule.free_until - now,
    )


def has_come(due: Due, row: Int[Array, "b f"], elapsed: Elapsed) -> Bool[Array, " b"]:
    """Tells where a row is the one that is due."""
    return (elapsed.time_shift == due.wait) & jnp.all(row[:, 1:] == due.row[:, 1:], axis=1)
