import numpy as np
import pytest
from hypothesis import given, settings

from ostinato.evaluation.metrics import features, structure
from ostinato.music.piece import make_piece
from tests.evaluation.metrics.made import quarters, rows
from tests.strategies import pieces

rng = np.random.default_rng(5)
PHRASE, OTHER = (tuple(rng.integers(40, 90, 16).tolist()) for _ in range(2))


def _fresh(seed, num_notes):
    return quarters(*np.random.default_rng(seed).integers(40, 90, num_notes).tolist())


def test_likeness_of_stretches_is_the_cosine_of_their_rolls():
    beats = np.random.default_rng(0).random((12, 5))
    stretches = np.stack([beats[i : i + 4].reshape(-1) for i in range(9)])
    unit = stretches / np.linalg.norm(stretches, axis=1, keepdims=True)
    cosine = unit @ unit.T
    # Stretch 4 has no other one beside it that fits: 0 and 8 do not overlap it.
    best = [max(cosine[i, j] for j in range(9) if abs(i - j) >= 4) for i in range(9)]
    found = structure.repetition(beats @ beats.T)
    assert found[4] == pytest.approx(np.mean(best))
    assert np.isnan(found[8])


def test_a_phrase_that_comes_back_is_structure_and_one_that_does_not_or_one_note_for_ever_is_none():
    repeated, above = structure.structure(quarters(*(PHRASE + OTHER) * 3))
    assert repeated[16] == pytest.approx(1)
    assert above[16] > 0.4
    assert abs(structure.structure(_fresh(6, 96))[1][16]) < 0.1
    repeated, above = structure.structure(quarters(*[60] * 64))
    assert (repeated[16], above[16]) == (pytest.approx(1), pytest.approx(0))


def test_what_comes_back_exactly_compresses_and_chance_does_not():
    assert structure.compressibility(quarters(*PHRASE * 8)) > 0.5
    assert abs(structure.compressibility(_fresh(7, 128))) < 0.05
    assert np.isnan(structure.compressibility(quarters(60, 62)))


@settings(max_examples=20, deadline=None)
@given(pieces())
def test_any_piece_has_all_figures(piece):
    scalars, distributions = features.describe(piece)
    assert not [name for name, value in scalars.items() if np.isinf(value)]
    assert all(np.isclose(shares.sum(), 1) or not shares.any() for shares in distributions.values())


def test_a_piece_without_notes_has_no_figures_but_counts():
    nothing = make_piece(onset=(), duration=(), pitch=(), velocity=(), program=(), ticks_per_quarter=480)
    scalars, distributions = features.describe(nothing)
    known = {name: value for name, value in scalars.items() if not np.isnan(value)}
    assert known == {"pitches used": 0, "pitch classes used": 0}
    assert not any(shares.any() for shares in distributions.values())


def test_transposition_moves_pitches_and_nothing_else():
    piece = rows(*((12 * i, 12, pitch) for i, pitch in enumerate(PHRASE * 3)), *((24 * i, 24, 40) for i in range(24)))
    higher = make_piece(**piece.notes._replace(pitch=piece.notes.pitch + 12)._asdict(), ticks_per_quarter=12)
    first, second = features.describe(piece), features.describe(higher)
    assert first.scalars == pytest.approx(second.scalars, nan_ok=True)
    ours, theirs = first.distributions, second.distributions
    assert [name for name in ours if not np.allclose(ours[name], theirs[name])] == ["pitch"]
