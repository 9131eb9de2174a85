"""What a piece's pitches are and how they follow one another. p pitches, c pitch classes, i intervals, n notes.

Where MusPy 0.5.0 has the same figure, it is equal: see tests/evaluation/metrics/test_muspy.py.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from ostinato.evaluation.memorization.lines import Line

MAX_INTERVAL = 24
"""Semitones; a larger leap counts as this one."""

_MAJOR = (0, 2, 4, 5, 7, 9, 11)
_SCALES = np.array([[(c - root) % 12 in _MAJOR for c in range(12)] for root in range(12)], np.float64)
"""The twelve major scales; the natural minor scales hold the same pitch classes."""


def entropy_bits(counts: Float[np.ndarray, "..."]) -> float:
    """Returns the Shannon entropy of counts in bits; NaN of nothing."""
    if not counts.any():
        return np.nan
    share = counts[counts > 0] / counts.sum()
    return float(-(share * np.log2(share)).sum()) + 0.0  # no negative zero


def scale_consistency(counts: Float[np.ndarray, " 12"]) -> float:
    """Returns the largest share of notes that one major or natural minor scale holds (Mogren 2016)."""
    return float((_SCALES @ counts).max() / counts.sum()) if counts.any() else np.nan


def intervals(lines: Sequence[Line]) -> Int[np.ndarray, " m"]:
    """Returns the semitones from each note to the one that follows it in a line."""
    return np.concatenate([np.zeros(0, np.int64), *(np.diff(line.pitch) for line in lines)])


def interval_counts(steps: Int[np.ndarray, " m"]) -> Float[np.ndarray, " 49"]:
    """Returns how often there is each interval from -24 to 24 semitones."""
    clipped = np.clip(steps, -MAX_INTERVAL, MAX_INTERVAL) + MAX_INTERVAL
    return np.bincount(clipped, minlength=2 * MAX_INTERVAL + 1).astype(np.float64)


def pitch_class_transitions(lines: Sequence[Line]) -> Float[np.ndarray, "12 12"]:
    """Returns how often each pitch class (row) is followed by each (column) in a line."""
    counts = np.zeros((12, 12))
    for line in lines:
        np.add.at(counts, (line.pitch[:-1] % 12, line.pitch[1:] % 12), 1)
    return counts
