import numpy as np

from ostinato.evaluation.memorization.lines import voices
from ostinato.evaluation.metrics import pitch
from tests.evaluation.metrics.made import quarters, rows


def test_intervals_are_counted_within_each_instrument():
    lines = voices(rows((0, 12, 60), (12, 12, 64), (24, 12, 59), (0, 12, 40, 32), (24, 12, 70, 32)))
    assert pitch.intervals(lines).tolist() == [4, -5, 30]
    counts = pitch.interval_counts(pitch.intervals(lines))
    found = {int(place) - 24: int(counts[place]) for place in np.flatnonzero(counts)}
    assert found == {4: 1, -5: 1, 24: 1}, "a leap by 30 counts as 24"


def test_transitions_say_which_pitch_class_follows_which():
    counts = pitch.pitch_class_transitions(voices(quarters(60, 62, 72, 62)))
    assert (counts.sum(), counts[0, 2], counts[2, 0]) == (3, 2, 1)


def test_scales_are_major_and_natural_minor():
    harmonic = np.bincount([9, 11, 0, 2, 4, 5, 8, 9], minlength=12).astype(float)
    natural = np.bincount([9, 11, 0, 2, 4, 5, 7, 9], minlength=12).astype(float)
    scales = (np.ones(12), natural, harmonic)
    assert [pitch.scale_consistency(counts) for counts in scales] == [7 / 12, 1.0, 7 / 8]
    assert np.isnan(pitch.scale_consistency(np.zeros(12)))
    assert np.isnan(pitch.entropy_bits(np.zeros(12)))
