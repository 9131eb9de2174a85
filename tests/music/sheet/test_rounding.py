"""What is on the grid stays, what was played freely is made readable."""

import numpy as np

from ostinato.music.piece import DRUMS
from ostinato.music.sheet.rounding import rounded
from tests.music.sheet.readers import notes_of, piece_of


def test_music_on_the_grid_stays_as_it_is_even_where_a_few_notes_are_odd():
    notes = [(12 * i, 12, 60 + i % 12, 0) for i in range(40)] + [(485, 19, 50, 0), (507, 5, 52, 0)]
    written = rounded(piece_of(notes))
    assert notes_of(written.piece) == notes
    assert (written.is_performance, written.programs) == (False, frozenset())


def test_a_performance_that_runs_late_is_moved_back_to_the_beats():
    random = np.random.default_rng(1)
    late = np.concatenate([np.full(32, 3), np.full(32, 4)]) + random.integers(-1, 2, 64)
    played = [(max(12 * i + int(late[i]), 0), 10 + i % 3, 60 + i % 12, 0) for i in range(64)]
    written = rounded(piece_of(played))
    assert written.is_performance
    assert [onset for onset, *_ in notes_of(written.piece)] == [12 * i for i in range(64)]
    assert {ticks for _, ticks, *_ in notes_of(written.piece)} == {12}


def test_triplets_of_a_performance_are_triplets():
    played = [(8 * i + i % 2, 6, 60 + i % 12, 0) for i in range(48)]
    written = rounded(piece_of(played))
    assert written.is_performance
    assert [onset for onset, *_ in notes_of(written.piece)] == [8 * i for i in range(48)]


def test_hits_of_drums_last_until_the_next_one_within_the_beat():
    hits = [(0, 1, 36, DRUMS), (12, 2, 42, DRUMS), (48, 1, 38, DRUMS), (54, 1, 42, DRUMS)]
    written = rounded(piece_of([*hits, (0, 96, 60, 0)]))
    assert written.programs == {DRUMS}
    assert [note for note in notes_of(written.piece) if note[3] == DRUMS] == [
        (0, 12, 36, DRUMS), (12, 12, 42, DRUMS), (48, 6, 38, DRUMS), (54, 18, 42, DRUMS),
    ]  # fmt: skip
