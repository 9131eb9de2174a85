"""Chords, one for each quarter note, and how fast they change. b beats, s steps of a sixteenth, c pitch classes."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ostinato.evaluation.memorization.lines import pitched
from ostinato.evaluation.metrics.rhythm import sounding
from ostinato.music.piece import Piece

CHORD_TYPES = {
    "major": (0, 4, 7),
    "minor": (0, 3, 7),
    "diminished": (0, 3, 6),
    "augmented": (0, 4, 8),
    "dominant seventh": (0, 4, 7, 10),
    "minor seventh": (0, 3, 7, 10),
    "major seventh": (0, 4, 7, 11),
}

MIN_LIKENESS = 0.8
"""Cosine of a beat's pitch classes and a chord's from which the beat has that chord. Two of a triad's notes alone have
0.816, one alone 0.577."""

MAX_CHORD_BEATS = 8

NO_CHORD = -1

_TEMPLATES = np.array(
    [[(c - root) % 12 in notes for c in range(12)] for notes in CHORD_TYPES.values() for root in range(12)], np.float64
)
_UNIT_TEMPLATES = _TEMPLATES / np.linalg.norm(_TEMPLATES, axis=1, keepdims=True)

# Circles of fifths, minor thirds and major thirds, with radii 1, 1 and 0.5 (Harte, Sandler and Gasser 2006).
_ANGLES = np.outer(np.array([7 * np.pi / 6, 3 * np.pi / 2, 2 * np.pi / 3]), np.arange(12))
_TONAL = np.concatenate([np.sin(_ANGLES), np.cos(_ANGLES)]) * np.array([1, 1, 0.5] * 2)[:, None]
_CENTROIDS = (_TEMPLATES / _TEMPLATES.sum(1, keepdims=True)) @ _TONAL.T


class Chords(NamedTuple):
    """The chords of a piece as figures."""

    types: Float[np.ndarray, " 8"]
    """Beats with each of CHORD_TYPES, then sounding beats with none of them."""
    lengths: Float[np.ndarray, " 8"]
    """How many chords last 1, 2, ... or 8 and more beats."""
    names: Float[np.ndarray, " 84"]
    """Beats with each chord, type after type, each from C."""
    changes_per_beat: float
    """The harmonic rhythm; NaN without chords."""
    tonal_step: float
    """Mean distance of successive different chords in tonal space; a fifth has 1.21, a tritone 1.97 (major triads)."""


def pitch_class_roll(piece: Piece, steps_per_quarter: int) -> Float[np.ndarray, "s 12"]:
    """Returns for which share of each step each pitch class sounds; two octaves of it count twice."""
    begin, end, pitch = sounding(pitched(piece))
    num_steps = -(-piece.end_tick * steps_per_quarter // piece.ticks_per_quarter)
    edges = np.arange(num_steps + 1) * (piece.ticks_per_quarter / steps_per_quarter)
    roll = np.empty((num_steps, 12))
    for pitch_class in np.arange(12):
        here = pitch % 12 == pitch_class
        roll[:, pitch_class] = np.diff(_elapsed(begin[here], edges) - _elapsed(end[here], edges))
    return roll * (steps_per_quarter / piece.ticks_per_quarter)


def _elapsed(ticks: Int[np.ndarray, " m"], edges: Float[np.ndarray, " e"]) -> Float[np.ndarray, " e"]:
    """Returns for each edge the sum of the times since all ticks before it."""
    ticks = np.sort(ticks)
    before = np.searchsorted(ticks, edges)
    return before * edges - np.append(0, np.cumsum(ticks))[before]


def chord_of_beats(roll_bc: Float[np.ndarray, "b 12"]) -> Int[np.ndarray, " b"]:
    """Returns for each beat the chord it is most like (type * 12 + root), or NO_CHORD (Fujishima 1999).

    Of equal ones the earlier type, then the lower root, is taken: C and E alone are C major, not A minor.
    """
    norm = np.linalg.norm(roll_bc, axis=1, keepdims=True)
    likeness = roll_bc @ _UNIT_TEMPLATES.T / np.maximum(norm, 1e-12)
    best = np.round(likeness, 9).argmax(1)  # rounded, so that equal ones are equal on every machine
    return np.where(likeness.max(1) >= MIN_LIKENESS, best, NO_CHORD)


def chords(piece: Piece) -> Chords:
    """Returns the figures of the piece's chords. A beat without a chord of its own keeps the one before."""
    roll = pitch_class_roll(piece, 1)
    found = chord_of_beats(roll)
    known = np.flatnonzero(found != NO_CHORD)
    types = np.bincount(found[known] // 12, minlength=len(CHORD_TYPES) + 1).astype(np.float64)
    types[-1] = np.count_nonzero(roll.any(1)) - len(known)
    names = np.bincount(found[known], minlength=len(_TEMPLATES)).astype(np.float64)
    if not len(known):
        return Chords(types, np.zeros(MAX_CHORD_BEATS), names, np.nan, np.nan)
    changes = np.append(True, found[known][1:] != found[known][:-1])
    at, chord = known[changes], found[known][changes]
    lasts = np.diff(np.append(at, len(found)))
    lengths = np.bincount(np.minimum(lasts, MAX_CHORD_BEATS) - 1, minlength=MAX_CHORD_BEATS).astype(np.float64)
    steps = np.linalg.norm(np.diff(_CENTROIDS[chord], axis=0), axis=1)
    return Chords(
        types, lengths, names, (len(at) - 1) / (len(found) - at[0]), float(steps.mean()) if len(steps) else np.nan
    )
