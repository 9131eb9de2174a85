import numpy as np
import pytest

from ostinato.evaluation.metrics import harmony
from tests.evaluation.metrics.made import quarters, rows

C, G7, A_MINOR = (60, 64, 67), (55, 59, 62, 65), (57, 60, 64)


def _chords(*beats):
    return rows(*((12 * beat, 12, pitch) for beat, chord in enumerate(beats) for pitch in chord))


def test_steps_hold_the_share_of_the_time_in_which_a_pitch_class_sounds():
    roll = harmony.pitch_class_roll(rows((6, 12, 60), (12, 12, 72), (12, 3, 61)), 1)
    assert roll[:, :2].tolist() == [[0.5, 0], [0.5 + 1, 0.25]]
    assert not roll[:, 2:].any()


def test_chords_have_the_names_that_a_musician_gives_them():
    piece = _chords(C, G7, A_MINOR, (60, 63, 66), (60, 64, 68), (61, 65, 68, 72), (60,), ())
    names = harmony.chord_of_beats(harmony.pitch_class_roll(piece, 1))
    types = list(harmony.CHORD_TYPES)
    assert [(types[name // 12], name % 12) if name >= 0 else None for name in names.tolist()] == [
        ("major", 0), ("dominant seventh", 7), ("minor", 9), ("diminished", 0), ("augmented", 0), ("major seventh", 1),
        None,
    ]  # fmt: skip


def test_a_chord_lasts_until_the_next_one():
    found = harmony.chords(_chords(C, C, (60,), G7, C))
    assert (found.types[:-1].sum(), found.types[-1]) == (4, 1), "the single note has none"
    assert found.lengths.tolist() == [2, 0, 1, 0, 0, 0, 0, 0]
    assert found.changes_per_beat == 2 / 5


def test_a_melody_alone_has_no_chords():
    found = harmony.chords(quarters(60, 62, 64))
    assert found.types.tolist() == [*[0] * 7, 3]
    assert np.isnan([found.changes_per_beat, found.tonal_step]).all()


def test_a_fifth_is_nearer_than_a_tritone():
    # A major triad's centroid lies 0.644, 0.745 and 0.289 from the middle of the three circles. A fifth turns them by
    # 30, 90 and 120 degrees, which is 2 r sin(angle / 2) each; a tritone by 180, 180 and 0.
    assert harmony.chords(_chords(C, (55, 59, 62))).tonal_step == pytest.approx(np.sqrt(53) / 6)
    assert harmony.chords(_chords(C, (54, 58, 61))).tonal_step == pytest.approx(1.970, abs=1e-3)
