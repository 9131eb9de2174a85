"""What a page shows of music that was not written for one: performances, and notes that are shorter than written.

Music on the grid is left as it is. Where less than IN_TIME of the onsets fall on 16ths and on eighths of triplets, the
piece is a performance: all of it is moved to these, beat by beat to whichever are nearer. Where less than IN_LENGTH of
the ends of one instrument do, its notes keep their onsets, and end where the next begins or on these.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from ostinato.music.piece import DRUMS, Notes, Piece, Tempos, make_piece, quantize_ticks, without_overlaps
from ostinato.music.sheet.rhythm import GRID

IN_TIME, IN_LENGTH = 0.8, 0.75
"""By chance a quarter of all would be."""

_SIXTEENTH, _TRIPLET = GRID // 4, GRID // 3
_NEAR = 0.4
"""A note that ends so near to the next, as a share of the time between their onsets, is meant to last until then."""

_PLACES = ({0: 0.0, 12: 1.0, 6: 2.0, 18: 2.0}, {0: 0.0, 8: 2.5, 16: 2.5})
_COSTS = [
    np.array(
        [
            min(cost + 2 * min(abs(tick - place), GRID - abs(tick - place)) for place, cost in places.items())
            for tick in range(GRID)
        ]
    )
    for places in _PLACES
]
_CHANGE = 3.0
"""How unlikely onsets are by their place in a beat of 16ths or of triplets, and a tick more or less of lateness from
one beat to the next; in arbitrary units."""


class Rounded(NamedTuple):
    """A piece with GRID ticks to a quarter, as a page can show it."""

    piece: Piece
    is_performance: bool
    """All notes were moved to the nearest 16th or eighth of a triplet."""
    programs: frozenset[int]
    """The instruments whose lengths were rounded."""


def on_grid(piece: Piece) -> Piece:
    """Returns the piece with GRID ticks to a quarter; what is finer is rounded."""
    tpq = piece.ticks_per_quarter
    onset, duration, *others = piece.notes
    start = quantize_ticks(onset, tpq, GRID)
    length = np.maximum(quantize_ticks(onset + duration, tpq, GRID) - start, 1)
    meter_tick, *meter = piece.meters
    return without_overlaps(
        make_piece(
            onset=start, duration=length, **dict(zip(("pitch", "velocity", "program"), others, strict=True)),
            tempos=Tempos(quantize_ticks(piece.tempos.tick, tpq, GRID), piece.tempos.us_per_quarter),
            meters=(quantize_ticks(meter_tick, tpq, GRID), meter[0], meter[1]),
            ticks_per_quarter=GRID,
        )
    )  # fmt: skip


def rounded(piece: Piece) -> Rounded:
    """Returns the piece as it is written."""
    piece = on_grid(piece)
    if not piece.num_notes:
        return Rounded(piece, False, frozenset())
    onset, duration, pitch, velocity, program = piece.notes
    is_performance = bool(_is_simple(onset).mean() < IN_TIME)
    programs = [
        number for number in np.unique(program).tolist()
        if is_performance or _is_simple((onset + duration)[program == number]).mean() < IN_LENGTH
    ]  # fmt: skip
    if not programs:
        return Rounded(piece, False, frozenset())
    end = onset + duration
    if is_performance:
        onset, end = _moved(onset, end)
        end = np.maximum(end, onset + _SIXTEENTH)
    for number in programs:
        mine = program == number
        end[mine] = _ends(onset[mine], end[mine], is_drums=number == DRUMS)
    notes = Notes(onset, np.maximum(end - onset, 1), pitch, velocity, program)
    moved = make_piece(**notes._asdict(), tempos=piece.tempos, meters=piece.meters, ticks_per_quarter=GRID)
    return Rounded(without_overlaps(moved), is_performance, frozenset(programs))


def _is_simple(tick: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    return (tick % _SIXTEENTH == 0) | (tick % _TRIPLET == 0)


def _moved(onset: Int[np.ndarray, " n"], end: Int[np.ndarray, " n"]) -> tuple[Int[np.ndarray, " n"], ...]:
    """Returns onsets and ends on 16ths and eighths of triplets, less how late the playing is from beat to beat.

    The lateness is the likeliest path (Viterbi) over the beats: what is played falls on a beat rather than on its half,
    and so on, and lateness changes slowly.
    """
    beat, num_beats = onset // GRID, int(end.max()) // GRID + 1
    late = np.arange(-_SIXTEENTH, _SIXTEENTH)
    place = (onset[:, None] - late) % GRID
    costs = np.zeros((2, num_beats, len(late)))
    for cost, of_place in zip(costs, _COSTS, strict=True):
        np.add.at(cost, beat, of_place[place])
    is_triplet = costs[1] < costs[0]
    change = _CHANGE * np.abs(late[:, None] - late)
    total, before = costs.min(0), np.zeros((num_beats, len(late)), int)
    for number in range(1, num_beats):
        from_each = total[number - 1] + change
        before[number] = from_each.argmin(1)
        total[number] += from_each.min(1)
    path = np.zeros(num_beats, int)
    path[-1] = total[-1].argmin()
    for number in range(num_beats - 1, 0, -1):
        path[number - 1] = before[number, path[number]]

    def nearest(tick: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        number = tick // GRID
        step = np.where(is_triplet[number, path[number]], _TRIPLET, _SIXTEENTH)
        return np.maximum(2 * (tick - late[path[number]]) + step, 0) // (2 * step) * step

    return nearest(onset), nearest(end)


def _ends(onset: Int[np.ndarray, " n"], end: Int[np.ndarray, " n"], *, is_drums: bool) -> Int[np.ndarray, " n"]:
    """Returns where notes of one instrument end, which are ordered by onset: at the next onset if that is near."""
    onsets = np.unique(onset)
    following = np.append(onsets[1:], onsets[-1] + 4 * GRID)[np.searchsorted(onsets, onset)]
    if is_drums:  # they have no length: until the next hit, but within the beat
        return np.minimum(following, (onset // GRID + 1) * GRID)
    coarse = np.maximum(np.where(_is_simple(end), end, quantize_ticks(end, _SIXTEENTH, 1) * _SIXTEENTH), onset)
    coarse = np.where(coarse > onset, coarse, np.minimum(following, onset + _SIXTEENTH))
    gap = following - onset
    return np.where(np.abs(following - end) <= np.maximum(_NEAR * gap, 1), following, coarse)
