"""All musical figures of one piece: scalars and distributions, by name."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from ostinato.evaluation.memorization.lines import pitched, voices
from ostinato.evaluation.metrics import form, harmony, pitch, rhythm, structure
from ostinato.music.piece import Piece


class Features(NamedTuple):
    """The figures of one piece. A scalar that the piece is too short for is NaN; such a distribution sums to 0."""

    scalars: dict[str, float]
    distributions: dict[str, Float[np.ndarray, " k"]]
    """Each sums to 1."""


def describe(piece: Piece) -> Features:
    """Returns the musical figures of a piece; pitch and harmony do not see drums, unless there is nothing else."""
    notes, per_quarter = pitched(piece), piece.ticks_per_quarter
    lines = voices(piece)
    intervals = pitch.intervals(lines)
    pitches = np.bincount(notes.pitch, minlength=128).astype(np.float64)
    pitch_classes = np.bincount(notes.pitch % 12, minlength=12).astype(np.float64)
    distances = np.diff(np.unique(piece.notes.onset))
    polyphony = rhythm.polyphony_ticks(piece)
    chords = harmony.chords(piece)
    repetition, above_chance = structure.structure(piece)
    scalars = {
        "pitch range": float(np.ptp(notes.pitch)) if len(notes.pitch) else np.nan,
        "pitches used": float(np.count_nonzero(pitches)),
        "pitch classes used": float(np.count_nonzero(pitch_classes)),
        "pitch entropy": pitch.entropy_bits(pitches),
        "pitch-class entropy": pitch.entropy_bits(pitch_classes),
        "scale consistency": pitch.scale_consistency(pitch_classes),
        "mean interval": _mean(np.abs(intervals)),
        "notes per quarter": _ratio(float(piece.num_notes), piece.end_tick / per_quarter),
        "notes per second": _ratio(float(piece.num_notes), piece.duration_s),
        "mean duration": _mean(piece.notes.duration / per_quarter),
        "mean inter-onset": _mean(distances / per_quarter),
        "polyphony": rhythm.mean_polyphony(polyphony),
        "polyphony rate": rhythm.polyphony_rate(polyphony),
        "empty-beat rate": rhythm.empty_beat_rate(piece),
        "groove consistency": rhythm.groove_consistency(piece),
        "chord rate": _ratio(float(chords.types[:-1].sum()), float(chords.types.sum())),
        "chord entropy": pitch.entropy_bits(chords.names),
        "chord changes per quarter": chords.changes_per_beat,
        "tonal step": chords.tonal_step,
        **{f"repetition at {length} quarters": value for length, value in repetition.items()},
        **{f"structure at {length} quarters": value for length, value in above_chance.items()},
        "compressibility": structure.compressibility(piece),
        **form.form(piece),
    }
    counts = {
        "pitch": pitches,
        "pitch class": pitch_classes,
        "interval": pitch.interval_counts(intervals),
        "pitch-class transition": pitch.pitch_class_transitions(lines).reshape(-1),
        "duration": rhythm.length_counts(piece.notes.duration, per_quarter),
        "inter-onset": rhythm.length_counts(distances, per_quarter),
        "pitches at once": polyphony,
        "chord type": chords.types,
        "chord length": chords.lengths,
    }
    return Features(scalars, {name: values / max(values.sum(), 1) for name, values in counts.items()})


def _ratio(value: float, of: float) -> float:
    return value / of if of else np.nan


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan
