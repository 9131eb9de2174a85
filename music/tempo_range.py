"""Tempos that a codec cannot say, said by other notes: half the tempo and half the ticks sound the same."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Int

from ostinato.music.piece import DEFAULT_TEMPO_US, Meters, Piece, Tempos

_US_PER_MINUTE = 60_000_000

MAX_ERROR = 0.008
"""Share by which the time may differ that whole beats per minute give; two of a hundred at 25 beats."""

_FAST_ENOUGH = 64
"""From so many beats per minute on, whole ones are right."""

_MAX_OCTAVES = 5
"""Tempos that take more are nonsense, and stay as they are: so short, notes would fall together."""


def with_tempos_within(piece: Piece, low: int, high: int, *, max_beats: int, max_denominator: int) -> Piece:
    """Returns a piece that sounds the same, with all tempos within some whole beats per minute.

    Where the tempo is out of range, or too slow for whole beats to be right, it is doubled or halved as often as it
    takes, with the ticks and the meters; a bar lasts as long as it did, where the meter can be said. Other stretches
    of the piece stay as they are.

    Args:
        piece: with any tempos.
        low: the least beats per minute.
        high: the most.
        max_beats: the largest numerator of a meter.
        max_denominator: its largest denominator.
    """
    us_per_quarter = piece.tempos.us_per_quarter
    shortest, longest = _US_PER_MINUTE / high, _US_PER_MINUTE / max(low, _FAST_ENOUGH)
    if not len(us_per_quarter) or (us_per_quarter.min() >= shortest and us_per_quarter.max() <= longest):
        return piece
    tick, us_per_quarter = piece.tempos
    if tick[0] > 0:
        tick, us_per_quarter = np.r_[0, tick], np.r_[DEFAULT_TEMPO_US, us_per_quarter]
    bpm = _US_PER_MINUTE / us_per_quarter
    whole = np.clip(np.rint(bpm), low, high)
    if (np.abs(bpm - whole) <= MAX_ERROR * whole).all():
        return piece
    octaves = _octaves(bpm, _lasting(piece, tick), low, high)
    if not octaves.any():
        return piece
    # Ticks are made finer first, so that halving them leaves whole numbers.
    finest = max(int(octaves.max()), 0)
    factor = 1 << finest - octaves
    starts = np.concatenate([[0], np.cumsum(np.diff(tick) * factor[:-1])])

    def moved(ticks: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        part = np.searchsorted(tick, ticks, side="right") - 1
        return starts[part] + (ticks - tick[part]) * factor[part]

    notes = piece.notes
    onset, end = moved(notes.onset), moved(notes.onset + notes.duration)
    return Piece(
        notes._replace(onset=onset, duration=np.maximum(end - onset, 1)),
        Tempos(starts, np.rint(us_per_quarter * 2.0**octaves).astype(np.int64)),
        Meters(*_meters(piece.meters, tick, octaves, moved, max_beats, max_denominator)),
        piece.ticks_per_quarter << finest,
    )


def _lasting(piece: Piece, tick: Int[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """Returns how many seconds of the piece each tempo holds."""
    starts = piece.seconds(np.minimum(tick, piece.end_tick))
    return np.diff(starts, append=piece.duration_s)


def _octaves(
    bpm: Float[np.ndarray, " k"], lasting: Float[np.ndarray, " k"], low: int, high: int
) -> Int[np.ndarray, " k"]:
    """Returns how often each tempo is to be halved; below 0, doubled."""
    candidates = np.array(sorted(range(-_MAX_OCTAVES, _MAX_OCTAVES + 1), key=abs))
    scaled = bpm[:, None] / 2.0**candidates
    whole = np.clip(np.rint(scaled), low, high)
    error = np.abs(scaled / whole - 1)
    best = candidates[(error <= MAX_ERROR).argmax(1)]  # the first is 0
    in_range = (np.rint(bpm) >= low) & (np.rint(bpm) <= high)
    # Where tempos swing around whole beats, as those of performances, the errors cancel out.
    drift = np.abs(np.cumsum(np.where(in_range, lasting * (bpm / np.maximum(np.rint(bpm), 1) - 1), 0)))
    keeps_time = drift.max() <= MAX_ERROR * lasting[in_range].sum()
    return np.where(in_range & keeps_time, 0, best)


def _meters(
    meters: Meters,
    tick: Int[np.ndarray, " k"],
    octaves: Int[np.ndarray, " k"],
    moved: Callable[[np.ndarray], np.ndarray],
    max_beats: int,
    max_denominator: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the meters in which bars last as long as they did; also one wherever the ticks become others."""
    if not len(meters.tick) or meters.tick[0] > 0:
        meters = Meters(*(np.r_[first, column] for first, column in zip((0, 4, 4), meters, strict=True)))
    at = np.union1d(meters.tick, tick[np.diff(octaves, prepend=0) != 0])
    found = np.searchsorted(meters.tick, at, side="right") - 1
    numerator, denominator = meters.numerator[found], meters.denominator[found]
    octave = octaves[np.searchsorted(tick, at, side="right") - 1]
    for _ in range(_MAX_OCTAVES):
        finer = (octave > 0) & (denominator < max_denominator)
        fewer = (octave > 0) & ~finer & (numerator % 2 == 0)
        coarser = (octave < 0) & (denominator % 2 == 0)
        more = (octave < 0) & ~coarser & (2 * numerator <= max_beats)
        denominator = np.where(finer, denominator * 2, np.where(coarser, denominator // 2, denominator))
        numerator = np.where(fewer, numerator // 2, np.where(more, numerator * 2, numerator))
        octave = octave - (finer | fewer) + (coarser | more)
    return moved(at), numerator, denominator
