"""Lines as symbols that neither transposition nor another tempo changes. s symbols, n notes.

Between two notes of a line stands one symbol: the interval, and what time does after it. For notes that begin
together that is `_TOGETHER`; otherwise it is the next step in time over the last one, in half powers of two. So a copy
in another key and at 1.5 times the speed has the same symbols, and in a melody what comes before and after it does not
reach into it (among chords the first one is lost, since the step after it is measured by the one before it). Half a
power is coarse: a step that was rounded to a grid seldom changes its class.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt16

from ostinato.evaluation.memorization.lines import Line, bottom_line, pitched, texture, top_line, voices
from ostinato.music.piece import Piece

END = 0
"""Stands after each line and equals nothing, not even itself."""

TIME_BITS = 4
BITS = 12
"""A symbol is below 2 ** BITS: an interval (8 bits, never 0), then time."""

TEXTURE = "texture"
"""The line of all notes; all others are melodies."""

MIN_NOTES = 3
"""A shorter line holds no distance in time to compare."""

_TOGETHER = 0
_EQUAL_STEPS = 8
_MAX_RATIO = 7


class SymbolLine(NamedTuple):
    """A line and its symbols: one less than it has notes, then END."""

    line: Line
    symbols: UInt16[np.ndarray, " n"]


def symbol_lines(piece: Piece) -> Iterator[SymbolLine]:
    """Yields the lines of a piece that differ: all notes, the top, the bottom, and the top line of each instrument."""
    notes = pitched(piece)
    lines = [
        texture(notes, piece.ticks_per_quarter, name=TEXTURE),
        top_line(notes, piece.ticks_per_quarter),
        bottom_line(notes, piece.ticks_per_quarter),
        *voices(piece),
    ]
    seen = set()
    for line in lines:
        if len(line.pitch) < MIN_NOTES:
            continue
        key = (line.onset.tobytes(), line.pitch.tobytes())
        if key not in seen:
            seen.add(key)
            yield SymbolLine(line, to_symbols(line))


def to_symbols(line: Line) -> UInt16[np.ndarray, " n"]:
    """Returns the symbols of a line of at least two notes, then END."""
    step = np.diff(line.onset)
    moves = np.flatnonzero(step)
    ratio = np.full(len(step), _EQUAL_STEPS)
    half_powers = np.rint(2 * np.log2(step[moves[1:]] / step[moves[:-1]]))
    ratio[moves[1:]] = np.clip(half_powers, -_MAX_RATIO, _MAX_RATIO).astype(np.int64) + _EQUAL_STEPS
    # What time does after note k + 1 stands with the interval from k to k + 1; after the last note it does nothing.
    time = np.append(np.where(step[1:] > 0, ratio[1:], _TOGETHER), _TOGETHER)
    symbols = np.diff(line.pitch) + 128 << TIME_BITS | time
    return np.append(symbols, END).astype(np.uint16)
