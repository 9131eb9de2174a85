"""What the judge hears: excerpts of pieces as rows of numbers, from which nothing but the music can be told.

It hears how the notes follow each other, and not by what else written music might be recognised:

- the key and the register: pitches are counted from the median pitch of the excerpt;
- how loud a piece is: velocities likewise; the tempo: time is counted in quarters;
- how long a piece is: all excerpts have equally many notes and begin with a bar;
- how it ends: the last two bars are left out, as a sampled piece is cut somewhere;
- header rows, START and END: excerpts are made of notes, not of the rows of a codec;
- which instruments play: only whether a note is of the same one as the note before, and the drums.

Letters: n notes of a piece, m excerpts, t notes of an excerpt, f fields.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from ostinato.music.bars import bar_lines
from ostinato.music.codec import Field
from ostinato.music.piece import DRUMS, Piece, quantize_ticks

ENDING_BARS = 2

_GRID = 24
"""Steps of a quarter note: of triplets and of thirty-seconds."""
_EDGES = np.array([*range(25), *range(27, 49, 3), *range(54, 97, 6)])
"""Where the classes of times begin, in steps: exact within a quarter, coarser beyond."""
_FAR, _LEAP, _LOUDER = 36, 24, 8
"""Semitones from the median, of an interval, and eighths of velocity beyond which all are one."""

FIELDS = (
    Field("shift", len(_EDGES)),
    Field("place in the bar", len(_EDGES)),
    Field("duration", len(_EDGES)),
    Field("pitch", 2 * _FAR + 2),
    Field("interval", 2 * _LEAP + 2),
    Field("drum", 129),
    Field("velocity", 2 * _LOUDER + 1),
    Field("same instrument", 2),
)
FIELD_SIZES = tuple(field.size for field in FIELDS)


class Heard(NamedTuple):
    """The notes of a piece in the order (onset, pitch), in which no instrument comes first."""

    onset: Int[np.ndarray, " n"]
    """Steps of the grid, as all times here."""
    place: Int[np.ndarray, " n"]
    """Steps since the bar began."""
    duration: Int[np.ndarray, " n"]
    pitch: Int[np.ndarray, " n"]
    velocity: Int[np.ndarray, " n"]
    program: Int[np.ndarray, " n"]
    bar: Int[np.ndarray, " n"]
    """Of the whole piece; 0 is the first."""
    meter: tuple[int, int]
    """With which the piece begins."""

    @property
    def num_notes(self) -> int:
        return len(self.onset)


def hear(piece: Piece) -> Heard:
    """Returns the notes of a piece, its last bars too."""
    order = np.lexsort((piece.notes.pitch, piece.notes.onset))
    onset, duration, pitch, velocity, program = (column[order] for column in piece.notes)
    lines = bar_lines(piece)
    bar = np.searchsorted(lines, onset, side="right") - 1
    begins = quantize_ticks(onset, piece.ticks_per_quarter, _GRID)
    place = quantize_ticks(onset - lines[bar], piece.ticks_per_quarter, _GRID)
    lengths = quantize_ticks(duration, piece.ticks_per_quarter, _GRID)
    meters = piece.meters
    meter = (int(meters.numerator[0]), int(meters.denominator[0])) if len(meters.tick) else (4, 4)
    return Heard(begins, place, lengths, pitch, velocity, program, bar, meter)


def starts(heard: Heard, num_notes: int) -> Int[np.ndarray, " m"]:
    """Returns the notes with which an excerpt can begin: the first of each bar with enough notes before the ending."""
    if not heard.num_notes:
        return np.zeros(0, np.int64)
    first = np.flatnonzero(np.diff(heard.bar, prepend=-1))
    end = int(np.searchsorted(heard.bar, heard.bar[-1] + 1 - ENDING_BARS))
    return first[first + num_notes <= end]


def excerpt(heard: Heard, start: int, num_notes: int) -> Int[np.ndarray, "t f"]:
    """Returns so many notes from one on, as values of FIELDS."""
    onset, place, duration, pitch, velocity, program = (column[start : start + num_notes] for column in heard[:6])
    drums = program == DRUMS
    middle = int(np.median(pitch[~drums])) if not drums.all() else 0
    shift = np.diff(onset, prepend=onset[:1])
    interval = np.clip(np.diff(pitch, prepend=pitch[:1]), -_LEAP, _LEAP) + _LEAP
    interval[drums | np.roll(drums, 1)] = 2 * _LEAP + 1
    interval[:1] = 2 * _LEAP + 1
    louder = np.clip(np.round((velocity - np.median(velocity)) / 8), -_LOUDER, _LOUDER) + _LOUDER
    same = np.diff(program, prepend=program[:1]) == 0
    columns = (
        _time_class(shift), _time_class(place), _time_class(duration),
        np.where(drums, 2 * _FAR + 1, np.clip(pitch - middle, -_FAR, _FAR) + _FAR), interval,
        np.where(drums, pitch + 1, 0), louder, same,
    )  # fmt: skip
    return np.stack(columns, axis=1).astype(np.int32)


def choose_num_notes(pieces: Sequence[Heard], lengths: Sequence[int]) -> int:
    """Returns the most notes of `lengths` that three quarters of the pieces have for an excerpt; 0 where none fits."""
    for length in sorted(lengths, reverse=True):
        if np.mean([len(starts(heard, length)) > 0 for heard in pieces]) >= 0.75:
            return length
    return 0


def _time_class(steps: Int[np.ndarray, " t"]) -> Int[np.ndarray, " t"]:
    return np.searchsorted(_EDGES, np.maximum(steps, 0), side="right") - 1
