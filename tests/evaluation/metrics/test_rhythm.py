import numpy as np
import pytest
from hypothesis import given, settings

from ostinato.evaluation.metrics import rhythm
from tests.evaluation.metrics.made import TWO_EQUAL_BARS, rows
from tests.strategies import pieces


def test_dotted_notes_and_triplets_have_classes_of_their_own():
    ticks = {"32nd": 12, "16th": 24, "triplet 8th": 32, "8th": 48, "dotted 8th": 72, "quarter": 96, "half": 192}
    counts = [rhythm.length_counts(np.array([length]), 96) for length in ticks.values()]
    assert [int(np.flatnonzero(one)[0]) for one in counts] == [4, 6, 7, 8, 9, 10, 12]
    assert rhythm.length_counts(np.array([1, 10**6]), 96).tolist() == [1, *[0] * 17, 1]


def test_a_pitch_that_two_instruments_play_sounds_once():
    piece = rows((0, 12, 60), (6, 12, 60, 40), (6, 6, 64), (30, 6, 50))
    assert np.stack(rhythm.sounding(piece.notes), 1).tolist() == [[30, 36, 50], [0, 18, 60], [6, 12, 64]]
    ticks = rhythm.polyphony_ticks(piece)
    assert ticks[:4].tolist() == [12, 18, 6, 0]  # silent from 18 to 30
    assert rhythm.mean_polyphony(ticks) == (18 + 2 * 6) / 24
    assert rhythm.polyphony_rate(ticks) == 6 / 36


def test_groove_is_one_less_the_share_of_positions_that_differ():
    # The second bar has one beginning less and one elsewhere: 2 of 48 positions differ.
    piece = rows((0, 12, 60), (12, 12, 60), (24, 12, 60), (48, 12, 60), (60, 12, 60), (78, 18, 60))
    assert rhythm.groove_consistency(piece) == pytest.approx(1 - 2 / 48)
    with_a_silent_bar = rows((0, 12, 60), (96, 12, 60))
    assert rhythm.groove_consistency(with_a_silent_bar) == pytest.approx(1 - 1 / 48)
    assert rhythm.groove_consistency(TWO_EQUAL_BARS, steps_per_quarter=1) == 1.0


def test_bars_of_different_length_are_not_compared():
    piece = rows((0, 48, 60), (48, 36, 60), (84, 36, 60), meters=([0, 48], [4, 3], [4, 4]))
    assert rhythm.groove_consistency(piece) == 1.0  # the two bars of three quarters
    assert np.isnan(rhythm.groove_consistency(rows((0, 48, 60))))


@settings(max_examples=50, deadline=None)
@given(pieces())
def test_any_piece_is_measured_as_a_slow_count_says(piece):
    per_beat, notes = piece.ticks_per_quarter, piece.notes
    num_beats = -(-piece.end_tick // per_beat)
    begin = np.arange(num_beats)[:40, None] * per_beat
    sounds = ((notes.onset < begin + per_beat) & (notes.onset + notes.duration > begin)).any(1)
    if num_beats <= 40:
        assert rhythm.empty_beat_rate(piece) == pytest.approx(1 - np.mean(sounds))
    assert rhythm.polyphony_ticks(piece).sum() == piece.end_tick
    groove = rhythm.groove_consistency(piece)
    assert np.isnan(groove) or 0 <= groove <= 1
