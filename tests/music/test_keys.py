import io

import numpy as np
import pretty_midi
import pytest

from ostinato.music import midi
from ostinato.music.keys import Key, find_keys, key_margin, key_of_number
from ostinato.music.piece import DRUMS, make_piece
from ostinato.music.score_codec import ScoreCodec

CADENCES = {False: ((0, 4, 7), (5, 9, 0), (7, 11, 2), (0, 4, 7)), True: ((0, 3, 7), (5, 8, 0), (7, 11, 2), (0, 3, 7))}
"""Tonic, subdominant, dominant and tonic, by whether the key is minor."""


def cadence(tonic, is_minor, *, lowest=48, drums=0):
    """A cadence in quarters, and as many drum hits on one note of the kit."""
    chords = [[lowest + (tonic + tone) % 12 for tone in chord] for chord in CADENCES[is_minor]]
    notes = [(24 * i, 24, pitch, 0) for i, chord in enumerate(chords) for pitch in chord]
    notes += [(6 * i, 6, 37, DRUMS) for i in range(drums)]
    onset, duration, pitch, program = np.array(notes).T
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=[80] * len(notes), program=program, ticks_per_quarter=24
    )


def told(piece):
    (value,) = set(ScoreCodec().keys_of(ScoreCodec().encode(piece)).tolist())
    return value


@pytest.mark.parametrize("is_minor", [False, True])
@pytest.mark.parametrize("tonic", range(12))
def test_a_cadence_is_in_its_key_whatever_the_drums_play(tonic, is_minor):
    assert told(cadence(tonic, is_minor)) == told(cadence(tonic, is_minor, drums=64)) == 1 + tonic + 12 * is_minor


def test_what_has_no_pitch_has_no_key():
    assert find_keys(np.zeros(12)) == 0
    drums = make_piece(onset=[0, 24], duration=[6, 6], pitch=[36, 38], velocity=[80, 80], program=[DRUMS] * 2,
                       ticks_per_quarter=24)  # fmt: skip
    assert told(drums) == 0


def test_the_length_of_notes_counts_and_their_number_does_not():
    long_c = make_piece(
        onset=[0, 96, 192, *range(288, 312)], duration=[96, 96, 96, *[1] * 24], pitch=[60, 64, 67, *[61, 66] * 12],
        velocity=[80] * 27, program=[0] * 27, ticks_per_quarter=24,
    )  # fmt: skip
    assert told(long_c) == 1


@pytest.mark.parametrize(
    ("number", "num_sharps"),
    [(0, 0), (7, 1), (2, 2), (5, -1), (10, -2), (6, -6), (11, 5), (1, -5), (21, 0), (16, 1), (14, -1), (12, -3)],
)
def test_keys_have_their_signatures(number, num_sharps):
    assert key_of_number(number).number == number
    assert key_of_number(number).num_sharps == num_sharps
    written = pretty_midi.PrettyMIDI(io.BytesIO(midi.write(cadence(0, False), key=key_of_number(number))))
    (signature,) = written.key_signature_changes
    assert (signature.key_number, signature.time) == (number, 0)


def test_a_piece_that_changes_its_key_is_in_each_in_its_turn():
    """Sixteen cadences in C major, a rest of two of them, sixteen in F sharp minor; ten are heard at a time."""
    cadences = [(cadence(0, False), 96 * i) for i in range(16)] + [(cadence(6, True), 96 * i) for i in range(18, 34)]
    onset = np.concatenate([one.notes.onset + start for one, start in cadences])
    duration, pitch, velocity, program = np.concatenate([np.array(one.notes)[1:] for one, _ in cadences], axis=1)
    piece = make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=velocity, program=program, ticks_per_quarter=24
    )
    codec = ScoreCodec()
    steps = codec.encode(piece)
    values = codec.keys_of(steps, quarters=40)
    note = steps[:, 1] < DRUMS
    assert set(values[: note.nonzero()[0][16 * 12 - 1]]) == {1}
    assert set(values[note.nonzero()[0][16 * 12 + 48] :]) == {1 + 12 + 6}
    # However long the part that is heard, at the ends it is as long as within.
    np.testing.assert_array_equal(codec.keys_of(steps, quarters=10_000), codec.keys_of(steps))


def test_a_cadence_is_clearly_in_its_key_and_in_no_other():
    piece, key = cadence(2, is_minor=True), Key(2, is_minor=True)
    margins = [key_margin(piece, key_of_number(number)) for number in range(24)]
    assert [number for number, margin in enumerate(margins) if margin > 0] == [key.number]
    assert key_margin(cadence(2, is_minor=True, drums=64), key) == margins[key.number]
