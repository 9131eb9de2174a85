"""When notes begin, how long they last and how many sound together. Beats are quarter notes.

MusPy 0.5.0 differs, and is wrong, in three figures:
- empty beats: there a note that ends where a beat begins fills that beat too, and there is always one beat more;
- groove: there a bar that nobody plays follows a piece that ends on a bar line;
- polyphony rate: "multiple pitches" are there three and more.
"""

import numpy as np
from jaxtyping import Float, Int

from ostinato.evaluation.memorization.lines import pitched
from ostinato.music.bars import bar_starts
from ostinato.music.piece import Notes, Piece

NUM_LENGTHS = 19
"""Classes of length: one for each half power of two, from 1/32 of a quarter note to 16 quarter notes."""

MAX_SOUNDING = 16
"""So many pitches at once, or more, are the last class of polyphony."""

GROOVE_STEPS = 12
"""Positions in a quarter note: sixteenths and triplets have each their own."""

_SHORTEST = -10


def length_counts(ticks: Int[np.ndarray, " n"], ticks_per_quarter: int) -> Float[np.ndarray, " 19"]:
    """Returns how many lengths (durations or distances, above 0) are in each class; dotted notes have their own."""
    half_powers = np.rint(2 * np.log2(ticks / ticks_per_quarter)).astype(np.int64)
    return np.bincount(np.clip(half_powers - _SHORTEST, 0, NUM_LENGTHS - 1), minlength=NUM_LENGTHS).astype(np.float64)


def sounding(notes: Notes) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Returns begin, end and pitch of each stretch in which a pitch sounds without a gap, whoever plays it."""
    order = np.lexsort((notes.onset, notes.pitch))
    pitch, begin, end = notes.pitch[order], notes.onset[order], (notes.onset + notes.duration)[order]
    above = int(end.max(initial=0)) + 1
    latest = np.maximum.accumulate(end + pitch * above)
    first = np.ones(len(begin), np.bool_)
    first[1:] = begin[1:] + pitch[1:] * above > latest[:-1]
    return begin[first], (latest - pitch * above)[np.append(first[1:], True) if len(first) else first], pitch[first]


def polyphony_ticks(piece: Piece) -> Float[np.ndarray, " 17"]:
    """Returns for how many ticks 0, 1, ... or 16 and more pitches sound together, from tick 0 to the end."""
    begin, end, _ = sounding(pitched(piece))
    tick = np.concatenate([[0], begin, end, [piece.end_tick]])
    change = np.concatenate([[0], np.ones(len(begin)), -np.ones(len(end)), [0]])
    order = np.argsort(tick, kind="stable")
    number = np.minimum(np.cumsum(change[order])[:-1], MAX_SOUNDING).astype(np.int64)
    # Between events of one tick the count may pass through anything, below 0 too; it lasts no time there.
    return np.bincount(np.maximum(number, 0), np.diff(tick[order]), MAX_SOUNDING + 1)


def mean_polyphony(ticks: Float[np.ndarray, " 17"]) -> float:
    """Returns the mean number of pitches while any sounds."""
    return float(ticks @ np.arange(len(ticks)) / ticks[1:].sum()) if ticks[1:].any() else np.nan


def polyphony_rate(ticks: Float[np.ndarray, " 17"]) -> float:
    """Returns the share of the time in which two or more pitches sound."""
    return float(ticks[2:].sum() / ticks.sum()) if ticks.any() else np.nan


def empty_beat_rate(piece: Piece) -> float:
    """Returns the share of the beats in which nothing sounds, drums included."""
    if not piece.num_notes:
        return np.nan
    per_beat, notes = piece.ticks_per_quarter, piece.notes
    num_beats = -(-piece.end_tick // per_beat)
    first, last = notes.onset // per_beat, (notes.onset + notes.duration - 1) // per_beat
    change = np.bincount(first, minlength=num_beats + 1) - np.bincount(last + 1, minlength=num_beats + 1)
    return float((np.cumsum(change)[:num_beats] == 0).mean())


def groove_consistency(piece: Piece, *, steps_per_quarter: int = GROOVE_STEPS) -> float:
    """Returns how alike neighbouring bars of equal length are in where notes begin: 1 - mean Hamming distance.

    Wu and Yang 2020 ("The Jazz Transformer on the Front Line"), with bars from the piece's own meters. NaN where no
    two neighbouring bars have one length.
    """
    starts = bar_starts(piece)
    if len(starts) < 2:
        return np.nan
    per_quarter = piece.ticks_per_quarter
    lengths = np.append(np.diff(starts), 0)
    tick, _, _ = piece.meters
    changes = np.searchsorted(tick, starts[-1], side="right")
    lengths[-1] = lengths[-2] if not changes or tick[changes - 1] < starts[-1] else 0
    steps = -(-lengths * steps_per_quarter // per_quarter)
    bar = np.searchsorted(starts, piece.notes.onset, side="right") - 1
    position = (piece.notes.onset - starts[bar]) * steps_per_quarter // per_quarter
    begins = np.unique(np.stack([bar, position], 1), axis=0)
    # Where two bars differ: all beginnings of both, less twice those that both have.
    in_bar = np.bincount(begins[:, 0], minlength=len(starts))
    width = int(position.max(initial=0)) + 1
    key = begins[:, 0] * width + begins[:, 1]
    common = np.bincount(begins[np.isin(key + width, key), 0], minlength=len(starts))
    distance = in_bar[:-1] + in_bar[1:] - 2 * common[:-1]
    comparable = (lengths[:-1] == lengths[1:]) & (steps[:-1] > 0)
    return float(1 - (distance / np.maximum(steps[:-1], 1))[comparable].mean()) if comparable.any() else np.nan
