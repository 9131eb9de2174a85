"""What the judge hears of a piece, and what it does not."""

import dataclasses

import numpy as np

from ostinato.music.piece import DRUMS, Meters, Notes, Piece, Tempos
from ostinato.train.judge.excerpts import FIELD_SIZES, FIELDS, choose_num_notes, excerpt, hear, starts
from tests.midi_files import piece_of, tune

NAMES = [field.name for field in FIELDS]


def rows_of(piece: Piece) -> dict[str, list[int]]:
    heard = hear(piece)
    return dict(zip(NAMES, excerpt(heard, 0, heard.num_notes).T.tolist(), strict=True))


def with_notes(piece: Piece, **columns: np.ndarray) -> Piece:
    return dataclasses.replace(piece, notes=piece.notes._replace(**columns))


def test_key_register_loudness_tempo_instruments_and_ending_are_not_heard():
    piece, length = tune(1, num_notes=80), 32
    notes = piece.notes
    expected = [excerpt(hear(piece), start, length) for start in starts(hear(piece), length)]
    programs = np.where(notes.program == 0, 40, 41)
    last = notes.onset >= notes.onset.max()
    others = {
        "a fifth higher": with_notes(piece, pitch=notes.pitch + 7),
        "two octaves lower": with_notes(piece, pitch=notes.pitch - 24),
        "louder": with_notes(piece, velocity=notes.velocity + 40),
        "other instruments": with_notes(piece, program=programs),
        "slower": dataclasses.replace(piece, tempos=Tempos(np.array([0, 960]), np.array([900_000, 700_000]))),
        "another last note": with_notes(piece, pitch=np.where(last, 60, notes.pitch)),
        "one note fewer": dataclasses.replace(piece, notes=Notes(*(column[:-1] for column in notes))),
        "another unit of time": dataclasses.replace(
            with_notes(piece, onset=notes.onset // 20, duration=notes.duration // 20), ticks_per_quarter=24
        ),
    }
    for name, other in others.items():
        heard = hear(other)
        found = [excerpt(heard, start, length) for start in starts(heard, length)]
        np.testing.assert_array_equal(found, expected, err_msg=name)


def test_intervals_times_and_accents_are_heard():
    piece = piece_of((0, 480, 60, 80, 0), (480, 240, 67, 112, 0), (720, 240, 64, 80, 5), (1920, 20, 60, 80, 5))
    rows = rows_of(piece)
    assert np.diff(rows["pitch"]).tolist() == [7, -3, -4]
    assert np.diff(rows["interval"][1:]).tolist() == [-10, -1]
    assert np.diff(rows["velocity"]).tolist() == [4, -4, 0]
    assert rows["same instrument"] == [1, 1, 0, 1]
    assert (rows["shift"][:3], rows["place in the bar"][3]) == ([0, 24, 12], 0), "24ths of a quarter; a new bar"
    assert rows["place in the bar"][1:3] == [24, 28], "coarser beyond a quarter"
    assert rows["duration"] == [24, 12, 12, 1]


def test_drums_are_heard_as_what_they_are_and_have_no_interval():
    rows = rows_of(piece_of((0, 240, 36, 80, DRUMS), (240, 240, 60, 80, 0), (480, 240, 64, 80, 0)))
    assert rows["drum"] == [37, 0, 0]
    assert rows["interval"][0] == rows["interval"][1] == max(rows["interval"])
    assert rows["pitch"][0] == FIELD_SIZES[NAMES.index("pitch")] - 1


def test_all_values_fit_their_fields():
    rng = np.random.default_rng(0)
    count = 500
    piece = Piece(
        Notes(
            np.sort(rng.integers(0, 10**6, count)), rng.integers(1, 10**6, count), rng.integers(0, 128, count),
            rng.integers(1, 128, count), rng.choice([0, 5, DRUMS], count),
        ),
        Tempos(np.zeros(0, int), np.zeros(0, int)), Meters(np.array([0]), np.array([5]), np.array([8])), 480,
    )  # fmt: skip
    rows = excerpt(hear(piece), 0, count)
    assert (rows >= 0).all()
    assert (rows.max(0) < FIELD_SIZES).all()


def test_an_excerpt_begins_with_a_bar_and_ends_before_the_last_two():
    heard = hear(tune(3, num_notes=80))
    begins = starts(heard, 16)
    assert len(begins) > 4
    assert begins[0] == 0
    assert (heard.bar[begins[1:]] > heard.bar[begins[1:] - 1]).all()
    assert (heard.bar[begins + 15] <= heard.bar[-1] - 2).all()
    assert not len(starts(heard, heard.num_notes))
    assert not len(starts(hear(piece_of()), 16))


def test_excerpts_are_as_long_as_most_pieces_allow():
    short, long = hear(tune(1, num_notes=40)), hear(tune(2, num_notes=80))
    assert choose_num_notes([long] * 3 + [short], (16, 64)) == 64
    assert choose_num_notes([long] * 2 + [short] * 2, (16, 64)) == 16
    assert choose_num_notes([short], (64,)) == 0
