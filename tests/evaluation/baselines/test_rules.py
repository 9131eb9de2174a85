import numpy as np
import pytest

from ostinato.evaluation.baselines.beats import cut_beats, shift_to_c
from ostinato.evaluation.baselines.rules import RuleComposer, leads_well
from ostinato.music.notes_codec import NotesCodec, choose_vocabulary, count_events
from ostinato.music.piece import DRUMS
from ostinato.music.score_codec import ScoreCodec
from tests.midi_files import piece_of, tune

SCORE = ScoreCodec(styles=("calm", "wild"))
CORPUS = [SCORE.quantise(tune(seed)) for seed in range(12)]
C_MAJOR = [(480 * i, 480, 60 + step, 80, 0) for i, step in enumerate((0, 2, 4, 5, 7, 9, 11, 12, 7, 4, 0))]


def _chord(*pitches, held=(), program=0):
    return tuple((program, pitch, pitch in held) for pitch in pitches)


@pytest.fixture(scope="module")
def composer():
    return RuleComposer(CORPUS, SCORE)


def test_a_piece_is_cut_into_beats_and_long_notes_with_it():
    # A half note under two quarter notes, then a quarter rest and a short note.
    piece = piece_of((0, 960, 48, 80, 0), (0, 480, 64, 80, 0), (480, 480, 65, 80, 0), (1440, 240, 67, 80, 0))
    beats = cut_beats(piece, 7, 0)
    assert [(beat.piece, beat.number, beat.place) for beat in beats] == [(7, i, (480 * i, 1920)) for i in range(4)]
    assert beats[0].begins == beats[0].ends == _chord(48, 64)
    assert beats[0].goes_to == beats[1].begins == _chord(48, 65, held=(48,))
    assert beats[1].ends == _chord(48, 65), "at the end nothing is held over"
    assert beats[2].begins == beats[2].ends == beats[3].ends == ()
    assert beats[3].goes_to is None
    assert [(*sound[:2], sound.is_held) for sound in beats[1].sounds] == [(0, 480, True), (0, 480, False)]
    places = [beat.place for beat in cut_beats(SCORE.quantise(tune(0)), 0, 0)][:5]
    assert places == [(0, 96), (24, 96), (48, 96), (72, 96), (0, 96)]


@pytest.mark.parametrize(("moved", "shift"), [(0, 0), (2, -2), (-5, 5), (6, -6)])
def test_pieces_are_moved_to_c(moved, shift):
    notes = [(onset, length, pitch + moved, 80, 0) for onset, length, pitch, _, _ in C_MAJOR]
    assert shift_to_c(piece_of(*notes)) == shift


def test_drums_have_no_key_and_are_not_moved():
    drums = piece_of((0, 120, 36, 80, DRUMS), (480, 120, 38, 80, DRUMS))
    assert shift_to_c(drums) == 0
    assert cut_beats(drums, 0, 3)[0].begins == ((DRUMS, 36, False),)


def test_voices_may_move_by_step_and_hold():
    assert leads_well(_chord(48, 64, 67), _chord(47, 65, 67, held=(67,)))
    assert leads_well((), ())


@pytest.mark.parametrize(
    ("last", "first", "why"),
    [
        (_chord(48, 55), _chord(50, 57), "parallel fifths"),
        (_chord(48, 60), _chord(50, 62), "parallel octaves"),
        (_chord(48, 64), _chord(48, 78), "a leap over an octave"),
        (_chord(48, 64), _chord(57, 55), "two leaps over a fifth"),
        (_chord(48, 64), _chord(48, 64, 67), "a voice more"),
        (_chord(48, 64), _chord(48, 65, held=(65,)), "a note that is held without having been there"),
        (_chord(48), _chord(48, program=1), "another instrument"),
    ],
)
def test_voices_may_not_lead_against_the_rules(last, first, why):
    assert not leads_well(last, first), why


def test_new_pieces_are_legal_of_the_wanted_length_and_the_same_for_the_same_seed(composer):
    pieces = [composer.generate(seed, num_notes) for num_notes in (1, 60) for seed in range(4)]
    assert [int(SCORE.count_notes(rows).sum()) for rows in pieces] == [1] * 4 + [60] * 4
    for rows in pieces:
        np.testing.assert_array_equal(SCORE.encode(SCORE.decode(rows), int(rows[1, 2])), rows)
    np.testing.assert_array_equal(composer.generate(1, 60), pieces[5])
    assert pieces[5].tolist() != pieces[6].tolist()


def test_new_pieces_of_the_notes_codec_hold_known_events_only():
    counts = [entry for piece in CORPUS for entry in count_events(piece)]
    codec = NotesCodec(vocabulary=choose_vocabulary(counts, min_count=1, max_vocabulary=4096))
    rows = RuleComposer([codec.quantise(piece) for piece in CORPUS], codec).generate(0, 40)
    np.testing.assert_array_equal(codec.encode(codec.decode(rows)), rows)
    assert len(rows) > 20


def test_a_corpus_of_one_piece_can_only_be_quoted_and_a_larger_one_is_recombined(composer):
    np.testing.assert_array_equal(RuleComposer(CORPUS[3:4], SCORE).generate(0, 0), SCORE.encode(CORPUS[3]))
    rows = composer.generate(0, 60)
    notes = rows[SCORE.count_notes(rows) > 0]
    longest = 0
    for piece in CORPUS:
        own = SCORE.encode(piece)
        own = own[SCORE.count_notes(own) > 0]
        for begin in range(len(own)):
            same = (own[begin : begin + 60] == notes[: len(own) - begin]).all(1)
            longest = max(longest, int(np.argmin(np.append(same, False))))
    assert longest < 40


def test_the_composer_could_have_written_its_corpus_and_little_else(composer):
    own = composer.coverage(CORPUS[:3])
    assert (own["known"], own["possible"]) == (1.0, 1.0)
    other = composer.coverage([SCORE.quantise(tune(seed)) for seed in range(50, 56)])
    assert other["beats"] > 50
    assert 0 <= other["possible"] <= other["known"] < 0.7


@pytest.mark.parametrize("num_beats", [4, 7])
def test_a_piece_of_others_is_continued_after_its_last_beat(composer, num_beats):
    piece = SCORE.quantise(tune(77))
    rows = composer.continue_piece(5, 40, piece, num_beats, style=1)
    np.testing.assert_array_equal(SCORE.encode(SCORE.decode(rows), 1), rows)
    written, end = SCORE.decode(rows).notes, num_beats * 24
    given, old = piece.notes.onset < end, written.onset < end
    np.testing.assert_array_equal(written.onset[old], piece.notes.onset[given])
    np.testing.assert_array_equal(written.pitch[old], piece.notes.pitch[given])
    assert (~old).sum() == 40
    np.testing.assert_array_equal(rows, composer.continue_piece(5, 40, piece, num_beats, style=1))


def test_a_continuation_follows_beats_that_begin_alike():
    # After C comes D in one piece and, an octave higher, in none: what begins on C continues with D.
    known = SCORE.quantise(piece_of(*[(480 * i, 480, 60 + 2 * (i % 2), 80, 0) for i in range(8)]))
    new = SCORE.quantise(piece_of((0, 480, 60, 80, 0)))
    rows = RuleComposer([known], SCORE).continue_piece(0, 1, new, 1)
    assert SCORE.decode(rows).notes.pitch.tolist() == [60, 62]


def test_without_a_note_there_is_nothing_to_compose_from_or_to_continue(composer):
    with pytest.raises(ValueError, match="no piece with a note"):
        RuleComposer([], SCORE)
    with pytest.raises(ValueError, match="no note begins in the first 4 beats"):
        composer.continue_piece(0, 10, SCORE.quantise(piece_of((4800, 480, 60, 80, 0))), 4)
