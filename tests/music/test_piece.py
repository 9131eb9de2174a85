import numpy as np
import pytest

from ostinato.music.piece import DRUMS, make_piece, without_overlaps


def _piece(rows, **options):
    onset, duration, pitch, velocity, program = np.array(rows, np.int64).reshape(-1, 5).T
    options.setdefault("ticks_per_quarter", 480)
    return make_piece(onset=onset, duration=duration, pitch=pitch, velocity=velocity, program=program, **options)


def test_notes_are_sorted_by_onset_program_and_pitch():
    piece = _piece([(10, 5, 60, 80, 1), (0, 5, 64, 80, DRUMS), (10, 5, 72, 80, 0), (0, 5, 60, 80, DRUMS)])
    columns = np.stack([piece.notes.onset, piece.notes.program, piece.notes.pitch], 1).tolist()
    assert columns == [[0, DRUMS, 60], [0, DRUMS, 64], [10, 0, 72], [10, 1, 60]]


def test_equal_notes_in_another_order_give_an_equal_piece():
    rows = [(0, 5, 60, 80, 1), (0, 7, 60, 80, 1), (0, 5, 60, 90, 1), (3, 1, 1, 1, 1)]
    assert _piece(rows) == _piece(rows[::-1])


def test_of_several_tempos_at_one_tick_the_last_in_file_order_holds():
    piece = _piece([(0, 480, 60, 80, 0)], tempos=([0, 480, 480, 480], [500_000, 250_000, 1_000_000, 600_000]))
    assert piece.tempos.tick.tolist() == [0, 480]
    assert piece.tempos.us_per_quarter.tolist() == [500_000, 600_000]


def test_repeated_time_signatures_are_one():
    piece = _piece([(0, 480, 60, 80, 0)], meters=([0, 0, 960, 960], [3, 3, 3, 4], [4, 4, 4, 4]))
    assert [column.tolist() for column in piece.meters] == [[0, 960], [3, 4], [4, 4]]


def test_seconds_follow_the_tempo_map():
    piece = _piece([(1920, 480, 60, 80, 0)], tempos=([480, 960], [1_000_000, 250_000]))
    # 480 ticks at the default half second, 480 at one second, the rest at a quarter of a second.
    np.testing.assert_allclose(piece.seconds([0, 240, 480, 720, 960, 1920]), [0, 0.25, 0.5, 1.0, 1.5, 2.0])
    assert piece.duration_s == pytest.approx(2.25)


def test_seconds_are_exact_to_a_microsecond_after_ten_hours():
    piece = _piece([(0, 1, 60, 80, 0)], tempos=([0], [333_333]), ticks_per_quarter=960)
    tick = 960 * 108_000
    assert float(piece.seconds(tick)) == pytest.approx(108_000 * 0.333333, abs=1e-6)


def test_a_note_ends_where_the_next_of_its_pitch_and_program_begins():
    piece = without_overlaps(_piece([(0, 100, 60, 80, 0), (40, 100, 60, 70, 0), (50, 9, 60, 80, 1)]))
    assert piece.notes.duration.tolist() == [40, 100, 9]


def test_of_equal_onset_program_and_pitch_the_longest_note_stays():
    piece = without_overlaps(_piece([(0, 100, 60, 80, 0), (0, 300, 60, 10, 0), (0, 300, 60, 20, 0)]))
    assert piece.notes.duration.tolist() == [300]
    assert piece.notes.velocity.tolist() == [20]


def test_a_piece_without_overlaps_is_not_changed():
    piece = _piece([(0, 40, 60, 80, 0), (40, 100, 60, 70, 0), (0, 500, 61, 70, 0)])
    assert without_overlaps(piece) == piece
    empty = _piece([])
    assert without_overlaps(empty) == empty
