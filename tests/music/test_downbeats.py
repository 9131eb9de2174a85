"""Bars are found in pieces whose files have none: of real rhythms and chords, with the first beat anywhere."""

import numpy as np
import pytest

from ostinato.music.bars import bar_starts
from ostinato.music.downbeats import with_bars_of_beats
from ostinato.music.piece import DRUMS, make_piece

TPQ = 24
CHORDS = ((48, 52, 55), (53, 57, 60), (43, 59, 62), (45, 60, 64))


def waltz_or_song(beats, pickup, *, num_bars=16, unit=4, meter=(1, 4), program=0, seed=0):
    """A bass note on each first beat, chords on the others, and a melody that returns after four bars."""
    rng = np.random.default_rng(seed)
    beat = 4 * TPQ // unit
    melodies = rng.integers(67, 80, (4, beats, 2))
    rows = [((pickup - 1 - k) * beat, beat, 67 + k) for k in range(pickup)]
    for bar in range(num_bars):
        root, *others = CHORDS[bar % 4]
        start = (pickup + bar * beats) * beat
        rows.append((start, beat * beats, root - 12))
        rows += [(start + b * beat, beat // 2, pitch) for b in range(1, beats) for pitch in others]
        for b in range(beats):
            halves = melodies[bar % 4, b, : 1 + (b + bar) % 2]
            rows += [(start + b * beat + h * beat // 2, beat // len(halves), pitch) for h, pitch in enumerate(halves)]
    onset, duration, pitch = np.array(sorted(rows)).T
    return make_piece(
        onset=onset, duration=duration, pitch=pitch, velocity=[80] * len(rows), program=[program] * len(rows),
        ticks_per_quarter=TPQ, meters=([0], meter[:1], meter[1:]),
    )  # fmt: skip


@pytest.mark.parametrize(("unit", "meter"), [(4, (1, 4)), (2, (1, 2)), (8, (1, 8))])
@pytest.mark.parametrize(("beats", "pickup"), [(3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 3)])
def test_bars_of_one_beat_become_bars_of_the_music(beats, pickup, unit, meter):
    found = with_bars_of_beats(waltz_or_song(beats, pickup, unit=unit, meter=meter))
    beat = 4 * TPQ // unit
    roots = found.notes.onset[found.notes.pitch < 54 - 12 + 1]
    assert roots.tolist() == bar_starts(found)[int(pickup > 0) :].tolist()
    assert found.notes.onset[0] == (beats - pickup) % beats * beat
    assert [column.tolist() for column in found.meters] == [[0], [beats], [unit]]


@pytest.mark.parametrize("piece", [
    waltz_or_song(3, 0, meter=(4, 4)),
    waltz_or_song(3, 1, meter=(2, 4)),
    waltz_or_song(4, 0, program=DRUMS),
])  # fmt: skip
def test_other_bars_stay(piece):
    assert with_bars_of_beats(piece) is piece


def test_bars_of_one_beat_in_the_minority_stay_and_in_the_majority_do_not():
    piece = waltz_or_song(4, 1)
    end = piece.end_tick

    def with_meters(*meters):
        return with_bars_of_beats(
            make_piece(**piece.notes._asdict(), ticks_per_quarter=TPQ, meters=tuple(zip(*meters, strict=True)))
        )

    assert with_meters((0, 1, 4), (TPQ, 4, 4)).meters.numerator.tolist() == [1, 4]
    assert with_meters((0, 2, 4), (end // 4 // TPQ * TPQ, 1, 4)).meters.numerator.tolist() == [4]
    assert with_meters((0, 4, 4), (0, 1, 4)).meters.numerator.tolist() == [4]


def test_tempos_move_with_the_music_and_the_first_one_holds_from_the_beginning():
    piece = waltz_or_song(4, 1)
    tempos = ([0, 5 * TPQ], [500_000, 400_000])
    meters = ([0], [1], [4])
    changing = make_piece(**piece.notes._asdict(), ticks_per_quarter=TPQ, tempos=tempos, meters=meters)
    assert with_bars_of_beats(changing).tempos.tick.tolist() == [0, 8 * TPQ]


def test_a_piece_that_is_mostly_silence_takes_no_memory():
    rows = {"onset": [0, 2**30], "duration": [1, 1], "pitch": [60, 64], "velocity": [80, 80], "program": [0, 0]}
    piece = make_piece(**rows, ticks_per_quarter=1, meters=([0], [1], [4]))
    assert with_bars_of_beats(piece) is piece
