"""A piece of music as arrays: what MIDI files are read into, what codecs encode, what samplers return."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from numpy.typing import ArrayLike

DRUMS = 128
"""The program number that stands for the drum channel; 0 to 127 are the General MIDI programs."""

DEFAULT_TEMPO_US = 500_000
"""Microseconds per quarter note where a file says nothing: 120 beats per minute (Standard MIDI Files 1.0)."""

_NO_LIMIT = np.iinfo(np.int64).max


class Notes(NamedTuple):
    """Notes as columns of equal length n, sorted by (onset, program, pitch)."""

    onset: Int[np.ndarray, " n"]
    """Ticks from the start of the piece."""
    duration: Int[np.ndarray, " n"]
    """Ticks, at least 1."""
    pitch: Int[np.ndarray, " n"]
    """MIDI note number, 0 to 127."""
    velocity: Int[np.ndarray, " n"]
    """1 to 127."""
    program: Int[np.ndarray, " n"]
    """0 to 127, or DRUMS."""


class Tempos(NamedTuple):
    """Tempo changes, sorted by strictly increasing tick."""

    tick: Int[np.ndarray, " k"]
    us_per_quarter: Int[np.ndarray, " k"]


class Meters(NamedTuple):
    """Time signatures, sorted by strictly increasing tick."""

    tick: Int[np.ndarray, " m"]
    numerator: Int[np.ndarray, " m"]
    denominator: Int[np.ndarray, " m"]


@dataclass(frozen=True, eq=False)
class Piece:
    """Notes, tempo changes and time signatures in ticks. Ticks are canonical; seconds are computed from them."""

    notes: Notes
    tempos: Tempos
    meters: Meters
    ticks_per_quarter: int

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Piece):
            return NotImplemented
        return self.ticks_per_quarter == other.ticks_per_quarter and all(
            np.array_equal(ours, theirs)
            for ours, theirs in zip(
                self.notes + self.tempos + self.meters, other.notes + other.tempos + other.meters, strict=True
            )
        )

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # arrays can change, so pieces have no hash

    @property
    def num_notes(self) -> int:
        return len(self.notes.onset)

    @property
    def end_tick(self) -> int:
        """The tick at which the last note ends; 0 for a piece without notes."""
        return int((self.notes.onset + self.notes.duration).max()) if self.num_notes else 0

    def seconds(self, ticks: ArrayLike) -> Float[np.ndarray, "..."]:
        """Returns the time of each tick in float64 seconds, by the piece's own tempo map."""
        ticks = np.asarray(ticks, np.int64)
        tick, us = self.tempos
        if not len(tick) or tick[0] > 0:
            tick, us = np.r_[0, tick], np.r_[DEFAULT_TEMPO_US, us]
        seconds_per_tick = us.astype(np.float64) * 1e-6 / self.ticks_per_quarter
        start_s = np.r_[0.0, np.cumsum(np.diff(tick) * seconds_per_tick[:-1])]
        i = np.searchsorted(tick, ticks, side="right") - 1
        return start_s[i] + (ticks - tick[i]) * seconds_per_tick[i]

    @property
    def duration_s(self) -> float:
        """Seconds from the start of the piece to the end of its last note."""
        return float(self.seconds(self.end_tick))


def _integers(values: ArrayLike) -> Int[np.ndarray, " n"]:
    """Returns a new one-dimensional int64 array, the only dtype a Piece holds."""
    return np.array(values, np.int64).reshape(-1)


def make_piece(
    *,
    onset: ArrayLike,
    duration: ArrayLike,
    pitch: ArrayLike,
    velocity: ArrayLike,
    program: ArrayLike,
    tempos: tuple[ArrayLike, ArrayLike] = ((), ()),
    meters: tuple[ArrayLike, ArrayLike, ArrayLike] = ((), (), ()),
    ticks_per_quarter: int,
) -> Piece:
    """Returns a Piece with its notes sorted and its tempo and meter maps reduced to changes.

    Args:
        onset, duration, pitch, velocity, program: columns of equal length, in any order.
        tempos: (tick, microseconds per quarter) in file order: of several at one tick, the last one holds.
        meters: (tick, numerator, denominator) likewise.
        ticks_per_quarter: resolution of all ticks.
    """
    notes = Notes(*(_integers(column) for column in (onset, duration, pitch, velocity, program)))
    return Piece(
        notes=_sorted_notes(notes),
        tempos=Tempos(*_changes(*map(_integers, tempos))),
        meters=Meters(*_changes(*map(_integers, meters))),
        ticks_per_quarter=int(ticks_per_quarter),
    )


def _sorted_notes(notes: Notes) -> Notes:
    """Sorts by (onset, program, pitch), then duration and velocity; notes that are in order already cost no sorting."""
    key = notes.onset << 15 | notes.program << 7 | notes.pitch
    if (key[1:] > key[:-1]).all():
        return notes
    order = key.argsort(kind="stable")
    sorted_key = key[order]
    if (sorted_key[1:] == sorted_key[:-1]).any():
        order = np.lexsort((notes.duration << 7 | notes.velocity, key))
    return Notes(*(column[order] for column in notes))


def _changes(tick: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sorts by tick (stably), keeps the last entry of each tick, then drops entries that repeat the one before."""
    if len(tick) < 2:
        return tick, *values
    if (tick[1:] > tick[:-1]).all() and (values[0][1:] != values[0][:-1]).all():
        return tick, *values
    columns = np.stack([tick, *values])[:, np.argsort(tick, kind="stable")]
    columns = columns[:, np.append(columns[0, 1:] != columns[0, :-1], True)]
    changed = np.any(columns[1:, 1:] != columns[1:, :-1], axis=0)
    return tuple(columns[:, np.insert(changed, 0, True)])


_DOUBLED_PART = 4
_DOUBLED_SHARE = 3
"""A note is doubled by one that begins within so many-th part of a quarter (a sixteenth) and of its own length."""


class Resolved(NamedTuple):
    """A piece in which no two notes of one program and pitch overlap."""

    piece: Piece
    merged: int
    """Notes that became one with another."""
    shortened: int
    """Notes that end earlier than they did."""


def without_overlaps(piece: Piece) -> Piece:
    """Returns the piece as one MIDI channel per program can play it; see `resolve_overlaps`."""
    return resolve_overlaps(piece).piece


def resolve_overlaps(piece: Piece) -> Resolved:
    """Returns the piece as one MIDI channel per program can play it.

    Of notes with equal onset, program and pitch the longest is kept (of those, the loudest). A note that would lose
    more than two thirds of its length to the next one of the same program and pitch, which begins less than a sixteenth
    later, is doubled by it, as by a second part that is a little late: the two become one. Any other note that still
    sounds when the next one of the same program and pitch begins ends there.
    """
    notes = piece.notes
    key = (notes.program << 7 | notes.pitch).astype(np.uint16)  # NumPy sorts 16 bits several times as fast as 64
    order = key.argsort(kind="stable")  # of equal onsets the longest, then loudest, stays last
    onset, key = notes.onset[order], key[order]
    room = np.where(key[1:] == key[:-1], onset[1:] - onset[:-1], _NO_LIMIT)
    length = notes.duration[order[:-1]]
    if (length <= room).all():
        return Resolved(piece, 0, 0)
    order, room, length = order[np.append(room > 0, True)], room[room > 0], length[room > 0]
    if _are_doubled(room, length, piece.ticks_per_quarter).any():
        notes = notes._replace(duration=notes.duration.copy(), velocity=notes.velocity.copy())
        order = _without_doubles(order, notes, piece.ticks_per_quarter)
        onset, key = notes.onset[order], notes.program[order] << 7 | notes.pitch[order]
        room = np.where(key[1:] == key[:-1], onset[1:] - onset[:-1], _NO_LIMIT)
    limit = np.zeros(piece.num_notes, np.int64)
    limit[order] = np.append(room, _NO_LIMIT)
    keep = limit > 0
    duration = np.minimum(notes.duration, limit)
    shortened = int((keep & (duration < notes.duration)).sum())
    notes = Notes(*(column[keep] for column in notes._replace(duration=duration)))
    resolved = Piece(notes, piece.tempos, piece.meters, piece.ticks_per_quarter)
    return Resolved(resolved, piece.num_notes - resolved.num_notes, shortened)


def _are_doubled(
    gap: Int[np.ndarray, " n"], length: Int[np.ndarray, " n"], ticks_per_quarter: int
) -> Bool[np.ndarray, " n"]:
    """Returns whether notes are doubled by the next ones, which begin a gap later."""
    return (gap < -(-ticks_per_quarter // _DOUBLED_PART)) & (gap < -(-length // _DOUBLED_SHARE))


def _without_doubles(order: Int[np.ndarray, " n"], notes: Notes, ticks_per_quarter: int) -> Int[np.ndarray, " m"]:
    """Returns the notes that are not doubles, in the same order: by program, pitch and onset.

    Where several double one another in a row, the first takes the second in, the third the fourth, and so on until no
    two are left. The length and loudness of the notes are changed in place.
    """
    while True:
        onset, length = notes.onset[order], notes.duration[order]
        key = notes.program[order] << 7 | notes.pitch[order]
        gap = onset[1:] - onset[:-1]
        doubled = (key[1:] == key[:-1]) & _are_doubled(gap, length[:-1], ticks_per_quarter)
        if not doubled.any():
            return order
        at = np.flatnonzero(doubled)
        begins = np.maximum.accumulate(np.where(np.diff(at, prepend=-2) > 1, at, 0))  # of the row that each stands in
        first = at[(at - begins) % 2 == 0]
        one, other = order[first], order[first + 1]
        end = np.maximum(notes.onset[one] + notes.duration[one], notes.onset[other] + notes.duration[other])
        notes.duration[one] = end - notes.onset[one]
        notes.velocity[one] = np.maximum(notes.velocity[one], notes.velocity[other])
        order = np.delete(order, first + 1)


def quantize_ticks(ticks: Int[np.ndarray, " n"], ticks_per_quarter: int, grid: int) -> Int[np.ndarray, " n"]:
    """Returns ticks rounded to `grid` steps per quarter note, halves upward, in exact integer arithmetic."""
    if ticks_per_quarter == grid:
        return ticks
    return (2 * grid * ticks + ticks_per_quarter) // (2 * ticks_per_quarter)
