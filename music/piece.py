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

_NO_LIMIT = 2**60
"""More ticks than there are; a few times as many can still be counted."""


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
    notes = Notes(*map(_integers, (onset, duration, pitch, velocity, program)))
    return in_order(notes, Tempos(*map(_integers, tempos)), Meters(*map(_integers, meters)), int(ticks_per_quarter))


def in_order(notes: Notes, tempos: Tempos, meters: Meters, ticks_per_quarter: int) -> Piece:
    """Returns what `make_piece` returns. All columns are of int64; the piece takes over those that are in order."""
    return Piece(_sorted_notes(notes), Tempos(*_changes(*tempos)), Meters(*_changes(*meters)), ticks_per_quarter)


def _sorted_notes(notes: Notes) -> Notes:
    """Sorts by (onset, program, pitch), then duration and velocity; notes that are in order already cost no sorting."""
    key = notes.onset << 15 | notes.program << 7 | notes.pitch
    if (key[1:] > key[:-1]).all():
        return notes
    order = key.argsort(kind="stable")
    key = key[order]
    tied = np.zeros(len(key), bool)
    np.equal(key[1:], key[:-1], out=tied[1:])
    if tied.any():
        tied[:-1] |= tied[1:]
        at = tied.nonzero()[0]
        same = order[at]
        order[at] = same[np.lexsort((notes.duration[same] << 7 | notes.velocity[same], key[at]))]
    return Notes(*(column[order] for column in notes))


def _changes(tick: np.ndarray, *values: np.ndarray) -> tuple[np.ndarray, ...]:
    """Sorts by tick (stably), keeps the last entry of each tick, then drops entries that repeat the one before."""
    if len(tick) < 2:
        return tick, *values
    if (tick[1:] > tick[:-1]).all() and (values[0][1:] != values[0][:-1]).all():
        return tick, *values
    columns = np.array([tick, *values])[:, tick.argsort(kind="stable")]
    is_last = np.ones(len(tick), bool)
    np.not_equal(columns[0, 1:], columns[0, :-1], out=is_last[:-1])
    columns = columns[:, is_last]
    changed = np.ones(columns.shape[1], bool)
    np.any(columns[1:, 1:] != columns[1:, :-1], axis=0, out=changed[1:])
    return tuple(columns[:, changed])


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
    key = key[order]
    gap = _gaps(key, notes.onset[order])
    if (notes.duration[order[:-1]] <= gap).all():
        return Resolved(piece, 0, 0)
    stays = np.ones(len(order), bool)
    np.greater(gap, 0, out=stays[:-1])
    order, key, gap = order[stays], key[stays], gap[stays[:-1]]
    if _are_doubled(gap, notes.duration[order[:-1]], piece.ticks_per_quarter).any():
        notes = notes._replace(duration=notes.duration.copy(), velocity=notes.velocity.copy())
        order, gap = _without_doubles(order, key, gap, notes, piece.ticks_per_quarter)
    limit = np.zeros(piece.num_notes, np.int64)
    limit[order[:-1]], limit[order[-1]] = gap, _NO_LIMIT
    keep = limit > 0
    duration = np.minimum(notes.duration, limit)
    shortened = int(np.count_nonzero(keep & (duration < notes.duration)))
    notes = Notes(*(column[keep] for column in notes._replace(duration=duration)))
    resolved = Piece(notes, piece.tempos, piece.meters, piece.ticks_per_quarter)
    return Resolved(resolved, piece.num_notes - resolved.num_notes, shortened)


def _gaps(key: Int[np.ndarray, " n"], onset: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n-1"]:
    """Returns the ticks from each note but the last to the next of its program and pitch; _NO_LIMIT before others."""
    return np.where(key[1:] == key[:-1], onset[1:] - onset[:-1], _NO_LIMIT)


def _are_doubled(
    gap: Int[np.ndarray, " n"], length: Int[np.ndarray, " n"], ticks_per_quarter: int
) -> Bool[np.ndarray, " n"]:
    """Returns whether notes are doubled by the next ones, which begin a gap later."""
    return (gap * _DOUBLED_PART < ticks_per_quarter) & (gap * _DOUBLED_SHARE < length)


def _without_doubles(
    order: Int[np.ndarray, " n"],
    key: Int[np.ndarray, " n"],
    gap: Int[np.ndarray, " n-1"],
    notes: Notes,
    ticks_per_quarter: int,
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m-1"]]:
    """Returns the notes that are not doubles, in the same order, and the gaps between them.

    Where several double one another in a row, the first takes the second in, the third the fourth, and so on until no
    two are left. The length and loudness of the notes are changed in place.

    Args:
        order: the numbers of the notes, by program, pitch and onset.
        key: program and pitch of each.
        gap: see `_gaps`.
        notes: all notes.
        ticks_per_quarter: of the piece.
    """
    while True:
        at = _are_doubled(gap, notes.duration[order[:-1]], ticks_per_quarter).nonzero()[0]
        if not len(at):
            return order, gap
        is_first = np.ones(len(at), bool)  # of the row that each stands in
        is_first[1:] = at[1:] - at[:-1] > 1
        begins = np.maximum.accumulate(np.where(is_first, at, 0))
        first = at[(at - begins) % 2 == 0]
        one, other = order[first], order[first + 1]
        end = np.maximum(notes.onset[one] + notes.duration[one], notes.onset[other] + notes.duration[other])
        notes.duration[one] = end - notes.onset[one]
        notes.velocity[one] = np.maximum(notes.velocity[one], notes.velocity[other])
        stays = np.ones(len(order), bool)
        stays[first + 1] = False
        order, key = order[stays], key[stays]
        gap = _gaps(key, notes.onset[order])


def quantize_ticks(ticks: Int[np.ndarray, " n"], ticks_per_quarter: int, grid: int) -> Int[np.ndarray, " n"]:
    """Returns ticks rounded to `grid` steps per quarter note, halves upward, in exact integer arithmetic."""
    if ticks_per_quarter == grid:
        return ticks
    return (2 * grid * ticks + ticks_per_quarter) // (2 * ticks_per_quarter)
