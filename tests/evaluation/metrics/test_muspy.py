"""The figures of MusPy 0.5.0 (muspy.metrics) for the pieces in made.py, computed by it at a resolution of 12."""

import pytest

from ostinato.evaluation.metrics import rhythm
from ostinato.evaluation.metrics.features import describe
from tests.evaluation.metrics import made

NAMES = (
    "pitch range", "pitches used", "pitch classes used", "pitch entropy", "pitch-class entropy", "scale consistency",
    "polyphony",
)  # fmt: skip
MUSPY = {
    "SCALE": (12, 8, 7, 3.0, 2.75, 1.0, 1.0),
    "CHORDS": (31, 11, 8, 3.121928094887, 2.580482023722, 0.85, 4.0),
    "HOLES": (10, 5, 5, 2.251629167388, 2.251629167388, 0.833333333333, 1.117647058824),
    "NOTE_REST_NOTE": (2, 2, 2, 1.0, 1.0, 1.0, 1.0),
    "TWO_EQUAL_BARS": (0, 1, 1, 0.0, 0.0, 1.0, 1.0),
}


@pytest.mark.parametrize("name", MUSPY)
def test_where_muspy_is_right_we_agree(name):
    scalars = describe(getattr(made, name)).scalars
    assert [scalars[figure] for figure in NAMES] == pytest.approx(MUSPY[name], abs=1e-11)


def test_its_polyphony_rate_with_a_threshold_of_one_is_ours():
    for piece, muspy_threshold_1 in ((made.HOLES, 0.045454545454545456), (made.CHORDS, 1.0), (made.SCALE, 0.0)):
        assert rhythm.polyphony_rate(rhythm.polyphony_ticks(piece)) == pytest.approx(muspy_threshold_1)
    # MusPy's default asks for more than two pitches: 0.0 here.
    assert rhythm.polyphony_rate(rhythm.polyphony_ticks(made.rows((0, 12, 60), (0, 12, 64)))) == 1.0


def test_its_groove_is_ours_where_the_piece_ends_within_a_bar():
    assert rhythm.groove_consistency(made.HOLES) == pytest.approx(0.9791666666666666)
    # MusPy: 0.9583333333333334, with a third bar in which nobody plays.
    assert rhythm.groove_consistency(made.TWO_EQUAL_BARS) == 1.0


def test_a_beat_in_which_nothing_sounds_is_empty():
    # MusPy: 0.0, since the first note's end fills the second beat.
    assert rhythm.empty_beat_rate(made.NOTE_REST_NOTE) == pytest.approx(1 / 3)
    # MusPy: 0.25. Beats 0, 1, 4, 5, 8 (drums) and 10 of eleven sound.
    assert rhythm.empty_beat_rate(made.HOLES) == pytest.approx(5 / 11)
