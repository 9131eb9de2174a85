import itertools
import json
import pickle

import numpy as np
import pytest
from hypothesis import given, settings

from ostinato.data.statistics import (
    MAX_POLYPHONY,
    NOTE_LENGTHS,
    NUM_BPM_BINS,
    PIECE_NOTES,
    PIECE_SECONDS,
    Statistics,
    quartiles,
    total,
)
from ostinato.music.piece import DRUMS, make_piece
from tests.midi_files import piece_of, tune
from tests.strategies import pieces


def counted(histogram):
    return {int(i): int(histogram[i]) for i in np.flatnonzero(histogram)}


def test_a_piece_counted_by_hand():
    # 480 ticks are half a second until tick 960, a whole second from there on.
    piece = make_piece(
        onset=[240, 480, 480, 960],
        duration=[480, 480, 240, 960],
        pitch=[60, 64, 36, 60],
        velocity=[80, 80, 127, 1],
        program=[0, 40, DRUMS, 0],
        tempos=([0, 960], [500_000, 1_000_000]),
        ticks_per_quarter=480,
    )
    stats = Statistics.from_piece(piece)
    assert (stats.pieces, stats.notes, stats.duration_ms) == (1, 4, 3000)
    assert counted(stats.pitch) == {60: 2, 64: 1}
    assert counted(stats.drum_pitch) == {36: 1}
    assert counted(stats.velocity) == {1: 1, 80: 2, 127: 1}
    assert {float(NOTE_LENGTHS[i]): n for i, n in counted(stats.note_lengths).items()} == {0.5: 1, 1.0: 2, 2.0: 1}
    assert counted(stats.tempo_ms) == {120 // 5: 1000, 60 // 5: 2000}
    # silence to 240, one note to 480, three to 720, one to 960, one (the last) to 1920
    assert counted(stats.polyphony_ms) == {0: 250, 1: 250 + 250 + 2000, 3: 250}
    assert counted(stats.program_notes) == {0: 2, 40: 1, DRUMS: 1}
    assert counted(stats.program_pieces) == {0: 1, 40: 1, DRUMS: 1}
    (seconds,), (notes,) = counted(stats.piece_seconds), counted(stats.piece_notes)
    assert PIECE_SECONDS[seconds - 1] <= 3.0 < PIECE_SECONDS[seconds]
    assert PIECE_NOTES[notes - 1] <= 4 < PIECE_NOTES[notes]


def test_triplets_and_dotted_notes_have_bins_of_their_own():
    for length, ticks in ((1 / 3, 160), (1.5, 720), (0.25, 120), (1.0, 480), (2 / 3, 320)):
        stats = Statistics.from_piece(piece_of((0, ticks, 60, 80, 0)))
        (found,) = counted(stats.note_lengths)
        assert NOTE_LENGTHS[found] == pytest.approx(length, rel=2 ** (1 / 8) - 1)


def test_what_lies_beyond_the_last_bin_is_in_the_last_bin():
    crowd = [(0, 480 * 1000, pitch, 64, 0) for pitch in range(MAX_POLYPHONY + 5)]
    stats = Statistics.from_piece(piece_of(*crowd, us_per_quarter=60))
    assert counted(stats.polyphony_ms) == {MAX_POLYPHONY: 60}
    assert counted(stats.tempo_ms) == {NUM_BPM_BINS - 1: 60}
    assert counted(stats.note_lengths) == {len(NOTE_LENGTHS) - 1: MAX_POLYPHONY + 5}
    assert counted(stats.piece_seconds) == {0: 1}
    slow = Statistics.from_piece(piece_of((0, 480 * 5000, 60, 64, 0), us_per_quarter=10_000_000))
    assert counted(slow.piece_seconds) == {len(PIECE_SECONDS): 1}


def test_where_nothing_is_said_the_tempo_is_120():
    silent = make_piece(
        onset=[0, 960], duration=[480, 480], pitch=[60, 60], velocity=[64, 64], program=[0, 0], ticks_per_quarter=480
    )
    assert counted(Statistics.from_piece(silent).tempo_ms) == {24: 1500}
    late = make_piece(**silent.notes._asdict(), tempos=([960, 9000], [1_000_000, 1]), ticks_per_quarter=480)
    assert counted(Statistics.from_piece(late).tempo_ms) == {24: 1000, 12: 1000}


@given(pieces())
@settings(max_examples=100, deadline=None)
def test_every_note_and_every_millisecond_is_counted_once(piece):
    stats = Statistics.from_piece(piece)
    assert stats.notes == piece.num_notes
    for histogram in (stats.velocity, stats.note_lengths, stats.program_notes, stats.pitch + stats.drum_pitch):
        assert histogram.sum() == piece.num_notes
    assert abs(stats.duration_ms - piece.duration_s * 1000) <= 0.5
    assert stats.polyphony_ms.sum() == stats.tempo_ms.sum() == stats.duration_ms
    assert stats.piece_seconds.sum() == stats.piece_notes.sum() == 1
    assert min(stats.polyphony_ms.min(), stats.tempo_ms.min()) >= 0
    assert set(np.flatnonzero(stats.program_pieces)) == set(piece.notes.program.tolist())


@given(pieces())
@settings(max_examples=50, deadline=None)
def test_polyphony_is_what_counting_at_every_moment_gives(piece):
    notes = piece.notes
    moments = np.unique(np.r_[0, notes.onset, notes.onset + notes.duration])
    expected = np.zeros(MAX_POLYPHONY + 1, np.int64)
    for begin, end in itertools.pairwise(moments):
        sounding = int(((notes.onset <= begin) & (notes.onset + notes.duration > begin)).sum())
        expected[min(sounding, MAX_POLYPHONY)] += int(np.diff(np.rint(piece.seconds([begin, end]) * 1000))[0])
    assert Statistics.from_piece(piece).polyphony_ms.tolist() == expected.tolist()


def test_statistics_add_up_in_any_order():
    parts = [Statistics.from_piece(tune(seed, num_notes=20 + seed, program=seed)) for seed in range(4)]
    both = parts[0] + parts[1]
    assert (both.pieces, both.notes) == (2, parts[0].notes + parts[1].notes)
    assert both.program_pieces[32] == 2  # each has the same bass
    assert total(parts) == total(reversed(parts)) == parts[3] + both + parts[2]
    assert total(parts) != total(parts[:3])
    assert total([]) == Statistics.empty()
    assert total([]).hours == 0
    assert both.hours == (parts[0].duration_ms + parts[1].duration_ms) / 3_600_000


def test_statistics_come_back_from_another_process():
    stats = Statistics.from_piece(tune(2))
    back = pickle.loads(pickle.dumps(stats))
    assert back == stats
    assert type(back.notes) is int
    assert back + back == stats + stats


def test_quartiles_are_the_bins_that_hold_them():
    assert quartiles(np.array([1, 0, 0, 0, 1, 1, 1])) == (0, 4, 5)
    assert quartiles(np.array([0, 0, 9])) == (2, 2, 2)


def test_statistics_come_back_from_json_and_others_are_refused():
    stats = Statistics.from_piece(tune(1))
    values = json.loads(json.dumps(stats.to_json()))
    assert Statistics.from_json(values) == stats
    assert Statistics.from_json(values) + stats == total([stats, stats])
    with pytest.raises(ValueError, match="another version of ostinato: pitch, swing differ"):
        Statistics.from_json({**values, "pitch": [0] * 12, "swing": 3})
