"""The lines of a piece: notes in an order in which one follows the other, made from columns sorted by onset.

Drums are left out, unless there is nothing else.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ostinato.music.piece import DRUMS, Notes, Piece

TOGETHER = 16
"""Notes that begin less than 1/16 of a quarter note after the one before begin together: a chord played by hand."""


class Line(NamedTuple):
    """Notes of a piece in the order (onset, pitch)."""

    name: str
    onset: Int[np.ndarray, " n"]
    """Ticks. Notes that begin together have the onset of the first of them."""
    pitch: Int[np.ndarray, " n"]


def pitched(piece: Piece) -> Notes:
    """Returns the notes that are not drums; of a piece of drums alone, all."""
    chosen = piece.notes.program != DRUMS
    if chosen.all() or not chosen.any():
        return piece.notes
    return Notes(*(column[chosen] for column in piece.notes))


def texture(notes: Notes, ticks_per_quarter: int, *, name: str = "texture") -> Line:
    """Returns all notes, those that begin together from low to high."""
    onset = _begin_together(notes.onset, ticks_per_quarter)
    order = np.lexsort((notes.pitch, onset))
    return Line(name, onset[order], notes.pitch[order])


def top_line(notes: Notes, ticks_per_quarter: int, *, name: str = "top") -> Line:
    """Returns the melody as the skyline of the piece.

    Of notes that begin together the highest counts, unless a higher one sounds when it begins, and in its middle: an
    accompaniment under held notes is no melody, a note that begins before the last one has ended may be.
    """
    onset = _begin_together(notes.onset, ticks_per_quarter)
    order = np.lexsort((-notes.pitch, onset))
    onset, pitch, duration = onset[order], notes.pitch[order], notes.duration[order]
    first = np.ones(len(onset), np.bool_)
    first[1:] = onset[1:] != onset[:-1]
    seen = first & ~_is_covered(onset, notes.onset[order], duration, pitch)
    return Line(name, onset[seen], pitch[seen])


def bottom_line(notes: Notes, ticks_per_quarter: int) -> Line:
    """Returns the bass: the skyline seen from below."""
    name, onset, pitch = top_line(notes._replace(pitch=127 - notes.pitch), ticks_per_quarter, name="bottom")
    return Line(name, onset, 127 - pitch)


def voices(piece: Piece) -> list[Line]:
    """Returns the top line of each instrument, in the order of their program numbers."""
    notes = pitched(piece)
    programs = np.unique(notes.program)
    parts = [Notes(*(column[notes.program == program] for column in notes)) for program in programs]
    return [
        top_line(part, piece.ticks_per_quarter, name=f"program {program}")
        for program, part in zip(programs, parts, strict=True)
    ]


def _begin_together(onset: Int[np.ndarray, " n"], ticks_per_quarter: int) -> Int[np.ndarray, " n"]:
    """Returns sorted onsets with each the first of its chord."""
    begins = np.ones(len(onset), np.bool_)
    begins[1:] = (onset[1:] - onset[:-1]) * TOGETHER >= ticks_per_quarter
    begins[1:] &= onset[1:] > onset[:-1]
    return onset[begins][np.cumsum(begins) - 1]


def _is_covered(
    start: Int[np.ndarray, " n"],
    onset: Int[np.ndarray, " n"],
    duration: Int[np.ndarray, " n"],
    pitch: Int[np.ndarray, " n"],
) -> Bool[np.ndarray, " n"]:
    """Returns which notes have a higher one above them both when they begin and in their middle.

    `start` is where a note's chord begins, sorted; the higher notes of a chord come first.
    """
    covered = np.zeros(len(onset), np.bool_)
    end, middle = onset + duration, onset + duration // 2
    in_middle = np.searchsorted(start, middle, side="right") - 1
    # One pass for each pitch that occurs, from the highest down: `latest_end` is that of the higher notes up to here.
    latest_end = np.zeros(len(onset), np.int64)
    for one in np.unique(pitch)[::-1]:
        here = np.flatnonzero(pitch == one)
        covered[here] = (latest_end[here] > onset[here]) & (latest_end[in_middle[here]] > middle[here])
        ends = np.zeros(len(onset), np.int64)
        ends[here] = end[here]
        np.maximum(latest_end, np.maximum.accumulate(ends), out=latest_end)
    return covered
