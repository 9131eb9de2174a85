import numpy as np

from ostinato.evaluation.memorization.lines import voices
from ostinato.evaluation.metrics import pitch
from tests.evaluation.metrics.made import quarters, rows


def test_intervals_are_counted_within_each_instrument():
    lines = voices(rows((0, 12, 60), (12, 12, 64), (24, 12, 59), (0, 12, 40, 32), (24, 12, 70, 32)))
    counts = pitch.interval_counts(lines)
    found = {int(place) - 24: int(counts[place]) for place in np.flatnonzero(counts)}
    assert found == {4: 1, -5: 1, 24: 1}  # the bass leaps by 30, which counts as 24
    assert pitch.mean_interval(lines) == (4 + 5 + 30) / 3


def test_transitions_say_which_pitch_class_follows_which():
    counts = pitch.pitch_class_transitions(voices(quarters(60, 62, 72, 62)))
    assert counts.sum() == 3
    assert counts[0, 2] == 2
    assert counts[2, 0] == 1


def test_a_chromatic_scale_fits_seven_twelfths_of_any_scale():
    assert pitch.scale_consistency(np.arange(60, 72)) == 7 / 12


def test_a_natural_minor_scale_is_a_scale():
    assert pitch.scale_consistency(np.array([57, 59, 60, 62, 64, 65, 67, 69])) == 1.0
    assert pitch.scale_consistency(np.array([57, 59, 60, 62, 64, 65, 68, 69])) == 7 / 8  # its leading note is not in it
