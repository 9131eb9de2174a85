"""Bars of a piece: where they begin, and a few of them as a piece of their own. Letters: m bar lines."""

from typing import Any

import numpy as np
from jaxtyping import Int

from ostinato.configs.errors import UserError
from ostinato.music.piece import Meters, Notes, Piece, Tempos


def bar_length(ticks_per_quarter: int, numerator: Any, denominator: Any) -> Any:
    """Returns the ticks of a bar, or of many; files do say 0/4, which is taken for 4/4."""
    numerator = np.where(np.asarray(numerator) > 0, numerator, 4)
    return np.maximum(4 * ticks_per_quarter * numerator // np.maximum(denominator, 1), 1)


def bar_lines(piece: Piece, *, until: int = 1) -> Int[np.ndarray, " m"]:
    """Returns the ticks of the bar lines, from 0 to the first one at or after the end of the piece, or a later tick.

    A new meter begins a new bar. 4/4 where nothing is said.
    """
    tick, numerator, denominator = piece.meters
    if not len(tick) or tick[0] > 0:
        tick, numerator, denominator = np.r_[0, tick], np.r_[4, numerator], np.r_[4, denominator]
    length = bar_length(piece.ticks_per_quarter, numerator, denominator)
    end = max(piece.end_tick, until)
    starts = tick[tick < end]
    ends = np.r_[starts[1:], end]
    lines = [np.arange(*part) for part in zip(starts, ends, length[: len(starts)], strict=True)]
    last = lines[-1][-1] + length[len(starts) - 1]
    return np.r_[np.concatenate(lines), last].astype(np.int64)


def bar_starts(piece: Piece) -> Int[np.ndarray, " m"]:
    """Returns the ticks at which bars begin; none where the piece has no notes."""
    lines = bar_lines(piece)
    return lines[lines < piece.end_tick]


def ticks_of_bars(piece: Piece, first_bar: int, num_bars: int) -> tuple[int, int]:
    """Returns where some bars begin and end, in ticks; all to the end for num_bars 0. The first bar is 1.

    Raises:
        UserError: the piece has not so many bars.
    """
    lines = bar_lines(piece)
    if not 1 <= first_bar < len(lines) or first_bar - 1 + num_bars >= len(lines):
        last = first_bar + max(num_bars, 1) - 1
        bars = f"is no bar {first_bar}" if last == first_bar else f"are no bars {first_bar} to {last}"
        raise UserError(f"there {bars} in a piece of {len(lines) - 1} bars")
    return int(lines[first_bar - 1]), int(lines[first_bar - 1 + num_bars] if num_bars else lines[-1])


def cut_bars(piece: Piece, first_bar: int, num_bars: int) -> Piece:
    """Returns the notes that begin in some bars, moved to the beginning, with the tempo and meter in force there.

    Raises:
        UserError: the piece has not so many bars.
    """
    return cut_ticks(piece, *ticks_of_bars(piece, first_bar, num_bars))


def cut_ticks(piece: Piece, start: int, end: int) -> Piece:
    """Returns the notes that begin between two ticks, moved to the beginning, with the tempo and meter in force."""
    notes = piece.notes
    inside = (notes.onset >= start) & (notes.onset < end)
    return Piece(
        Notes(*(column[inside] for column in notes._replace(onset=notes.onset - start))),
        Tempos(*_in_force(*piece.tempos, start=start, end=end)),
        Meters(*_in_force(*piece.meters, start=start, end=end)),
        piece.ticks_per_quarter,
    )


def _in_force(tick: np.ndarray, *values: np.ndarray, start: int, end: int) -> tuple[np.ndarray, ...]:
    """Returns the changes between start and end, as seen from start, and what was in force there."""
    first = max(int(np.searchsorted(tick, start, side="right")) - 1, 0)
    last = int(np.searchsorted(tick, end, side="left"))
    return np.maximum(tick[first:last] - start, 0), *(column[first:last] for column in values)
