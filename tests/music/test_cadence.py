import numpy as np
import pytest

from ostinato.music.cadence import closes, consonant_with, ends_on_chord
from ostinato.music.piece import DRUMS, make_piece


def rows(*notes):
    """A piece of notes (onset, duration, pitch, program 0)."""
    onset, duration, pitch, program = np.array([(*note, 0)[:4] for note in notes]).T
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=[80] * len(notes), program=program, ticks_per_quarter=12
    )


@pytest.mark.parametrize(
    ("last", "ends"),
    [
        ([(96, 24, 48), (96, 24, 52), (96, 36, 55)], True),
        ([(96, 24, 60)], True),
        ([(84, 36, 36), (96, 24, 52), (96, 24, 57)], True),  # A minor on C
        ([(96, 24, 48), (96, 24, 50), (96, 24, 55)], False),
        ([(96, 23, 48), (96, 12, 52)], False),
        ([(84, 48, 50), (96, 24, 48)], False),  # what was struck before still sounds
        ([(96, 24, 48), (108, 12, 38, DRUMS)], True),
    ],
)
def test_a_long_consonant_chord_ends_a_piece(last, ends):
    assert ends_on_chord(rows(*((12 * i, 12, 60 + i) for i in range(8)), *last)) == ends


def test_what_is_no_piece_does_not_end():
    assert not ends_on_chord(rows((0, 12, 60)))
    assert not ends_on_chord(rows((0, 12, 60, DRUMS), (12, 12, 60, DRUMS), (24, 48, 60, DRUMS)))


@pytest.mark.parametrize(
    ("last", "ends"),
    [
        ([(96, 1, 36, DRUMS)], True),
        ([(94, 1, 38, DRUMS), (95, 1, 49, DRUMS)], True),  # a flam before the bar line
        ([(96, 1, 38, DRUMS), (96, 1, 42, DRUMS)], False),  # neither bass drum nor crash
        ([(96, 1, 36, DRUMS), (102, 1, 36, DRUMS)], False),  # in the middle of the bar
        ([(84, 12, 43), (96, 24, 48)], True),  # with another instrument a chord counts
        ([(96, 1, 36, DRUMS), (96, 1, 61)], False),
    ],
)
def test_drums_alone_close_with_a_bass_drum_or_crash_on_a_bar_line(last, ends):
    assert closes(rows(*((12 * i, 1, 42, DRUMS) for i in range(7)), *last)) == ends


@pytest.mark.parametrize(
    ("heard", "fitting"),
    [
        ((), range(12)),
        ((48, 55), (0, 3, 4, 7)),  # a fifth: major or minor
        ((40, 60), (0, 4, 7, 9)),  # a third: C major or A minor
        ((60, 76, 67), (0, 4, 7)),
        ((60, 61), range(12)),  # in no triad, and nothing makes it one
        ((127,), (0, 2, 3, 4, 7, 10, 11)),
    ],
)
def test_what_fits_into_a_triad_with_what_is_heard(heard, fitting):
    fits = consonant_with(np, np.isin(np.arange(128), heard)[None, :])[0]
    assert {pitch % 12 for pitch in np.flatnonzero(fits)} == set(fitting)
    assert len({fits[pitch::12].all() or not fits[pitch::12].any() for pitch in range(12)}) == 1
