import numpy as np
import pytest

from ostinato.music.bars import bar_lines, cut_bars, ticks_of_bars
from ostinato.music.piece import make_piece


def _piece():
    """Two bars of 3/4, then 4/4 and 90 beats per minute, with a note on each beat; ends after 3 beats of bar 4."""
    onset = np.arange(0, 13 * 480, 480)
    return make_piece(
        onset=onset, duration=np.full(13, 480), pitch=60 + np.arange(13), velocity=np.full(13, 80),
        program=np.zeros(13), tempos=([0, 2880], [500_000, 666_667]), meters=([0, 2880], [3, 4], [4, 4]),
        ticks_per_quarter=480,
    )  # fmt: skip


def test_bar_lines_follow_the_meter_to_the_end():
    assert bar_lines(_piece()).tolist() == [0, 1440, 2880, 4800, 6720]


def test_bars_become_a_piece_of_their_own_in_the_meter_and_tempo_that_hold_there():
    part = cut_bars(_piece(), 2, 2)
    assert part.notes.pitch.tolist() == list(range(63, 70))
    assert part.notes.onset[0] == 0
    assert part.meters.tick.tolist() == [0, 1440]
    assert part.meters.numerator.tolist() == [3, 4]
    assert part.tempos.tick.tolist() == [0, 1440]
    late = cut_bars(_piece(), 4, 0)
    assert late.notes.pitch.tolist() == [70, 71, 72]
    assert late.meters.numerator.tolist() == [4]
    assert late.tempos.us_per_quarter.tolist() == [666_667]
    assert late.tempos.tick.tolist() == [0]


def test_bars_that_are_not_there_are_refused():
    assert ticks_of_bars(_piece(), 4, 1) == (4800, 6720)
    with pytest.raises(ValueError, match="no bars 4 to 5 in a piece of 4 bars"):
        ticks_of_bars(_piece(), 4, 2)
    with pytest.raises(ValueError, match="there is no bar 5 in a piece of 4 bars"):
        cut_bars(_piece(), 5, 0)
