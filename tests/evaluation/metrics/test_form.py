"""Figures of form: a piece that loops and a piece of shuffled real bars are each caught."""

import numpy as np
import pytest

from ostinato.evaluation.metrics.form import bars_of, form, longest_return, most_cycles, self_similarity
from ostinato.music.piece import make_piece
from tests.midi_files import piece_of, tune

BAR = 1920


def song(order: str, *, seed: int = 0):
    """A piece of four-bar phrases, one for each letter."""
    phrases = {letter: tune(seed + ord(letter), num_notes=40) for letter in set(order)}
    return piece_of_bars([(phrases[letter], bar) for letter in order for bar in range(4)])


def piece_of_bars(bars):
    """A piece of single bars, each (piece, number of the bar)."""
    parts = []
    for number, (piece, bar) in enumerate(bars):
        notes = piece.notes
        inside = (notes.onset >= bar * BAR) & (notes.onset < (bar + 1) * BAR)
        onset = notes.onset[inside] + (number - bar) * BAR
        parts.append(
            (onset, notes.duration[inside], notes.pitch[inside], notes.velocity[inside], notes.program[inside])
        )
    onset, duration, pitch, velocity, program = (np.concatenate(column) for column in zip(*parts, strict=True))
    return make_piece(
        onset=onset, duration=np.minimum(duration, BAR), pitch=pitch, velocity=velocity, program=program,
        meters=([0], [4], [4]), ticks_per_quarter=480,
    )  # fmt: skip


@pytest.fixture(scope="module")
def figures():
    real = song("AABAACAAA")
    bars = [(real, bar) for bar in np.random.default_rng(1).permutation(36)]
    return {
        "real": form(real),
        "loop": form(song("AAAAAAAAA")),
        "shuffled": form(piece_of_bars(bars)),
        "new": form(song("ABCDEFGHI")),
    }


def test_a_piece_that_loops_is_caught(figures):
    real, loop = figures["real"], figures["loop"]
    assert loop["pieces that loop"] == 1
    assert real["pieces that loop"] == 0
    assert loop["most cycles in a row"] > 8 > real["most cycles in a row"]
    assert loop["distinct bars"] < 0.6 * real["distinct bars"]


def test_a_piece_of_shuffled_real_bars_is_caught(figures):
    real, shuffled = figures["real"], figures["shuffled"]
    assert shuffled["distinct bars"] == pytest.approx(real["distinct bars"], abs=0.1)  # these figures do not see it
    assert shuffled["off-diagonal similarity"] == pytest.approx(real["off-diagonal similarity"], abs=0.1)
    assert max(shuffled[f"longest return at {lag} bars"] for lag in (4, 8, 16)) <= 2
    assert max(real[f"longest return at {lag} bars"] for lag in (4, 8, 16)) >= 4


def test_a_piece_without_returns_has_none(figures):
    assert figures["new"]["distinct bars"] == 1
    assert figures["new"]["longest return at 4 bars"] == 0
    assert figures["new"]["repetition density"] < figures["real"]["repetition density"]


def test_returns_are_counted_in_bars():
    bars = bars_of(song("AABAA"))
    assert len(bars) in (19, 20)
    assert longest_return(bars, 4) >= 3
    assert longest_return(bars, 12) >= 3
    assert 1.7 < most_cycles(bars) < 2.5


def test_self_similarity_is_that_of_whole_bars():
    likeness = self_similarity(song("AB"))
    np.testing.assert_allclose(np.diagonal(likeness), 1)
    np.testing.assert_allclose(likeness, likeness.T)
    assert self_similarity(song("AA"))[0, 4] == pytest.approx(1)


def test_a_short_piece_has_no_form():
    assert np.isnan(list(form(piece_of((0, 480, 60, 80, 0))).values())).all()
