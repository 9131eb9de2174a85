import numpy as np

from ostinato.evaluation.memorization.lines import bottom_line, pitched, texture, top_line, voices
from ostinato.music.piece import DRUMS
from tests.evaluation.metrics.made import rows


def _notes(line):
    return list(zip(line.onset.tolist(), line.pitch.tolist(), strict=True))


def test_the_top_line_is_the_highest_of_the_notes_that_begin_together():
    piece = rows((0, 12, 60), (0, 12, 64), (12, 12, 62), (12, 12, 50))
    assert _notes(top_line(piece.notes, 12)) == [(0, 64), (12, 62)]
    assert _notes(bottom_line(piece.notes, 12)) == [(0, 60), (12, 50)]


def test_an_accompaniment_under_a_held_note_is_no_melody():
    held = rows((0, 24, 72), (12, 12, 60), (24, 12, 74))
    assert _notes(top_line(held.notes, 12)) == [(0, 72), (24, 74)]
    syncopated = rows((0, 12, 72), (9, 12, 60), (12, 12, 74))
    assert _notes(top_line(syncopated.notes, 12)) == [(0, 72), (12, 74)]
    legato = rows((0, 15, 72), (12, 12, 71), (24, 12, 74))  # overlaps by a quarter of the note
    assert _notes(top_line(legato.notes, 12)) == [(0, 72), (12, 71), (24, 74)]


def test_notes_of_a_chord_played_by_hand_begin_together():
    piece = rows((100, 480, 64), (110, 480, 60), (120, 480, 67), (600, 480, 62))
    assert _notes(texture(piece.notes, 480)) == [(100, 60), (100, 64), (100, 67), (600, 62)]
    assert _notes(top_line(piece.notes, 480)) == [(100, 67), (600, 62)]


def test_each_instrument_has_a_line_and_drums_have_none():
    piece = rows((0, 12, 60), (0, 12, 40, 32), (12, 12, 43, 32), (0, 12, 36, DRUMS))
    assert [(line.name, _notes(line)) for line in voices(piece)] == [
        ("program 0", [(0, 60)]),
        ("program 32", [(0, 40), (12, 43)]),
    ]


def test_a_piece_of_drums_alone_is_heard_as_pitches():
    assert pitched(rows((0, 12, 36, DRUMS), (12, 12, 38, DRUMS))).pitch.tolist() == [36, 38]
    assert pitched(rows((0, 12, 36, DRUMS), (12, 12, 38))).pitch.tolist() == [38]


def test_the_top_line_is_what_a_slow_search_finds():
    rng = np.random.default_rng(0)
    piece = rows(*zip(rng.integers(0, 300, 80), rng.integers(1, 60, 80), rng.integers(50, 70, 80), strict=True))
    notes = piece.notes
    slow = []
    for onset in np.unique(notes.onset):
        begins = np.flatnonzero(notes.onset == onset)
        note = max(begins, key=lambda i: notes.pitch[i])
        higher, end = notes.pitch > notes.pitch[note], notes.onset + notes.duration
        times = (onset, onset + notes.duration[note] // 2)
        if not all((higher & (notes.onset <= time) & (end > time)).any() for time in times):
            slow.append((int(onset), int(notes.pitch[note])))
    assert _notes(top_line(notes, 12)) == slow
