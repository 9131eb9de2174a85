"""The judge hears what was planted in the music, and nothing where only key, loudness, length or ending differ."""

import dataclasses

import numpy as np
import pytest

from ostinato.evaluation.two_sample import (
    MIN_LEARNED,
    Sides,
    bar_scores,
    excerpt_notes,
    halves,
    two_sample_test,
)
from ostinato.music.bars import bar_lines
from ostinato.music.piece import Meters, Notes, Piece, Tempos
from ostinato.train.judge import training
from tests.midi_files import tune

NUM_NOTES = 32
EACH = 40


def planted(piece: Piece, *, first: int = 0, end: int = 10**9) -> Piece:
    """Returns a piece of which every fifth note of the melody is a tritone from the one before, between two ticks."""
    melody = np.flatnonzero(piece.notes.program == 0)
    chosen = [place for place in range(4, len(melody), 5) if first <= piece.notes.onset[melody[place]] < end]
    pitch = piece.notes.pitch.copy()
    for place in chosen:
        pitch[melody[place]] = pitch[melody[place - 1]] + 6
    return dataclasses.replace(piece, notes=piece.notes._replace(pitch=pitch))


def disguised(piece: Piece) -> Piece:
    """Returns the same music, louder, faster and by others, with an even number of notes and always the same last."""
    onset, duration, pitch, _, program = (column[: piece.num_notes - piece.num_notes % 2] for column in piece.notes)
    pitch = np.r_[pitch[:-1], 72]
    notes = Notes(onset, duration, pitch, np.full(len(pitch), 127), program + 1)
    return dataclasses.replace(piece, notes=notes, tempos=Tempos(np.array([0]), np.array([333_333])))


def tunes(first: int, count: int = EACH, *, keys: int = 12) -> list[Piece]:
    """Returns tunes in so many keys, from C up, and of many lengths."""
    rng = np.random.default_rng(first)
    pieces = [tune(first + number, num_notes=int(rng.integers(70, 100))) for number in range(count)]
    shifts = rng.integers(keys, size=count)
    return [
        dataclasses.replace(piece, notes=piece.notes._replace(pitch=piece.notes.pitch + shift))
        for piece, shift in zip(pieces, shifts.tolist(), strict=True)
    ]


REAL = tunes(0), tunes(1000)
OTHERS = tunes(2000), tunes(3000)


def judged(change, others=OTHERS):
    """Returns what is found between real tunes and others that were changed."""
    learned, tested = (
        Sides(real, [change(piece) for piece in pieces]) for real, pieces in zip(REAL, others, strict=True)
    )
    return two_sample_test(learned, tested, NUM_NOTES, seed=0)


@pytest.fixture(scope="module")
def hidden():
    return judged(planted)


def test_a_hidden_tell_is_found(hidden):
    figures = hidden.figures
    assert figures["accuracy"] > 0.9
    assert figures["p_value"] < 1e-6
    low, high = figures["accuracy_interval"]
    assert 0.5 < low < figures["accuracy"] <= high
    assert figures["accuracy"] == (figures["real_right"] + figures["written_right"]) / 2
    assert (figures["learned"], figures["tested"]) == (EACH, EACH)


def test_the_bars_that_give_a_piece_away_are_those_with_the_tell(hidden):
    inside, outside = [], []
    for number in range(5):
        piece = planted(tune(5000 + number, num_notes=90), first=4 * 1920, end=9 * 1920)
        scores = bar_scores(hidden.judge, piece)
        assert len(scores) <= len(bar_lines(piece)) - 1
        inside += scores[4:9].tolist()
        outside += [*scores[:3], *scores[10:-1]]
    assert np.mean(inside) > np.mean(outside) + 1


def test_an_obvious_tell_is_found():
    staccato = lambda piece: dataclasses.replace(  # noqa: E731
        piece, notes=piece.notes._replace(duration=piece.notes.duration // 2)
    )
    assert judged(staccato).figures["accuracy"] == 1


def test_key_loudness_tempo_parity_instruments_and_last_note_are_no_tell():
    found = judged(disguised, (tunes(2000, keys=1), tunes(3000, keys=1))).figures
    low, high = found["accuracy_interval"]
    assert low < 0.5 < high
    assert found["p_value"] > 0.05


def test_real_music_is_not_told_from_other_real_music():
    low, high = judged(lambda piece: piece).figures["accuracy_interval"]
    assert low < 0.5 < high


def test_the_same_seed_finds_the_same(monkeypatch):
    monkeypatch.setattr(training, "NUM_EPOCHS", 3)
    once, again = (judged(planted) for _ in range(2))
    assert once.figures == again.figures
    np.testing.assert_array_equal(bar_scores(once.judge, REAL[0][0]), bar_scores(again.judge, REAL[0][0]))


def test_meters_are_balanced_and_too_few_pieces_are_no_test():
    waltz = [
        dataclasses.replace(piece, meters=Meters(np.array([0]), np.array([3]), np.array([4]))) for piece in REAL[0]
    ]
    assert two_sample_test(Sides(REAL[0], waltz), Sides(*REAL), NUM_NOTES, seed=0) is None
    few = Sides(REAL[0], REAL[1][: MIN_LEARNED - 1])
    assert two_sample_test(few, Sides(*REAL), NUM_NOTES, seed=0) is None
    assert two_sample_test(Sides(*REAL), few._replace(written=REAL[1][:3]), NUM_NOTES, seed=0) is None


def test_real_music_is_divided_without_a_rest():
    whole = halves(REAL[0], 3)
    assert len(whole.real) == len(whole.written) == EACH // 2
    assert {id(piece) for side in whole for piece in side} == {id(piece) for piece in REAL[0]}


def test_short_pieces_are_heard_in_shorter_excerpts():
    assert excerpt_notes([tune(1, num_notes=100)]) == 64
    assert excerpt_notes([tune(1, num_notes=40)]) == 32
    assert excerpt_notes([tune(1, num_notes=8)]) == 0
