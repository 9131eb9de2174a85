import numpy as np
import pytest
from hypothesis import given, settings

from ostinato.music.codecs import codec_from_json
from ostinato.music.notes_codec import (
    END,
    START,
    UNKNOWN,
    NoteEvent,
    NotesCodec,
    choose_vocabulary,
    count_events,
)
from ostinato.music.piece import DRUMS, make_piece
from tests.strategies import pieces

PIECE = make_piece(
    onset=[0, 480, 480, 480, 960],
    duration=[480, 480, 240, 480, 480],
    pitch=[60, 64, 67, 36, 60],
    velocity=[80] * 5,
    program=[0, 0, 40, DRUMS, 0],
    ticks_per_quarter=480,
)
CODEC = NotesCodec(vocabulary=choose_vocabulary(count_events(PIECE), min_count=1, max_vocabulary=100))


def test_each_note_or_chord_has_its_integer():
    assert CODEC.vocabulary == (
        NoteEvent(0, 12, (60,)),
        NoteEvent(12, 12, (60,)),
        NoteEvent(12, 12, (64, 67)),  # the chord is as long as its longest note; the drum is not in it
    )
    assert CODEC.encode(PIECE)[:, 0].tolist() == [START, 3, 5, 4, END]
    assert CODEC.count_notes(CODEC.encode(PIECE)).tolist() == [0, 1, 2, 1, 0]


def test_the_vocabulary_holds_the_most_frequent_first():
    one, two, three = (NoteEvent(12, 12, (pitch,)) for pitch in (60, 61, 62))
    assert choose_vocabulary([(one, 3), (two, 7), (three, 3)], min_count=3, max_vocabulary=5) == (two, one)
    assert choose_vocabulary([(one, 3), (two, 7), (three, 3)], min_count=4, max_vocabulary=50) == (two,)


def test_what_is_rare_is_unknown_and_sounds_as_silence():
    codec = NotesCodec(vocabulary=CODEC.vocabulary[:2])
    assert codec.encode(PIECE)[:, 0].tolist() == [START, 3, UNKNOWN, 4, END]
    decoded = codec.decode(codec.encode(PIECE))
    assert decoded.notes.onset.tolist() == [0, 24]


@given(pieces())
@settings(max_examples=100, deadline=None)
def test_encoding_what_was_decoded_gives_the_same_steps(piece):
    counts = count_events(piece)
    if not counts:
        return
    codec = NotesCodec(vocabulary=choose_vocabulary(counts, min_count=1, max_vocabulary=1000))
    steps = codec.encode(piece)
    assert UNKNOWN not in steps
    np.testing.assert_array_equal(codec.encode(codec.decode(steps)), steps)


def test_only_the_first_event_may_begin_at_once_and_after_the_end_comes_nothing():
    grammar = CODEC.grammar

    def legal(previous):
        return np.flatnonzero(grammar.allowed(np, np.array([previous]), None, 0)[0]).tolist()

    assert legal(START) == [3, 4, 5]
    assert legal(3) == [END, 4, 5]
    assert legal(END) == [END]


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ValueError, match="empty vocabulary"):
        NotesCodec(vocabulary=())


def test_changes_of_what_the_integers_do_not_hold_are_refused():
    steps = CODEC.encode(PIECE)
    for name, message in (("transpose", "transpose a pitch"), ("tempo", "change the tempo"), ("velocity", "velocity")):
        with pytest.raises(ValueError, match=message):
            CODEC.transform(name, steps, 1)
        assert CODEC.transform(name, steps, 0) is steps


def test_the_codec_comes_back_from_json():
    assert codec_from_json(CODEC.to_json()) == CODEC
