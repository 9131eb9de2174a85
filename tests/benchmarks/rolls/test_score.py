"""The protocol, and the traps in which published numbers differ from each other."""

import os
from pathlib import Path

import numpy as np
import pytest

from ostinato.benchmarks.rolls.read import FILES, NUM_KEYS, read_rolls
from ostinato.benchmarks.rolls.score import Score, fit_independent_keys, score_frames, uniform

DATA = Path(os.environ.get("OSTINATO_DATA", Path(__file__).parents[4] / "shared/data")) / "piano_rolls"


def nats_of_what_sounds(frames):
    """A model that is easy to add up: 1 nat for a silent frame, 2 for one with notes."""
    return 1.0 + frames.any(axis=1)


def piece(*notes):
    """Frames of one note each; -1 is silence."""
    roll = np.zeros((len(notes), NUM_KEYS), np.uint8)
    for frame, note in enumerate(notes):
        if note >= 0:
            roll[frame, note] = 1
    return roll


def test_the_first_frame_is_read_but_not_scored():
    assert score_frames(nats_of_what_sounds, [piece(40, -1, 41)]) == Score(1 + 2, 2)
    assert score_frames(nats_of_what_sounds, [piece(40)]) == Score(0, 0)


def test_silent_frames_count():
    pieces = [piece(40, 41, -1, -1, 42)]
    assert score_frames(nats_of_what_sounds, pieces).nats_per_frame == pytest.approx((2 + 1 + 1 + 2) / 4)  # without: 2


def test_the_mean_is_over_frames_not_over_pieces():
    pieces = [piece(40, -1), piece(40, 41, 42, 43)]
    assert score_frames(nats_of_what_sounds, pieces).nats_per_frame == pytest.approx(7 / 4)  # of the pieces' means: 1.5


def test_a_uniform_model_scores_88_ln_2():
    score = score_frames(uniform, [piece(1, 2, -1), piece(3, 4)])
    assert score.frames == 3
    assert score.nats_per_frame == pytest.approx(88 * np.log(2))
    assert round(score.nats_per_frame, 2) == 61.00


def test_the_independent_keys_are_counted_over_all_training_frames():
    nats = fit_independent_keys([piece(0, 0), piece(0, -1, -1, -1)])  # key 0 in 3 of 6 frames, no other
    off = np.log(1 - 1 / 8)
    expected = [-np.log(4 / 8) - 87 * off, -np.log(1 - 4 / 8) - 87 * off, -np.log(1 / 8) - np.log(1 / 2) - 86 * off]
    np.testing.assert_allclose(nats(piece(0, -1, 1)), expected, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason=f"no piano rolls in {DATA}; set OSTINATO_DATA to the folder above it")
@pytest.mark.parametrize(
    ("name", "nats", "sizes"),
    [
        ("jsb", 11.06, (229, 76, 77)),
        ("nottingham", 10.25, (694, 173, 170)),
        ("piano-midi", 11.05, (87, 12, 25)),
        ("musedata", 11.51, (524, 135, 124)),
    ],
)
def test_the_model_without_memory_scores_what_is_known_on_the_published_data(name, nats, sizes):
    rolls = read_rolls(DATA, name)
    assert tuple(map(len, rolls)) == sizes
    on_all_frames = score_frames(fit_independent_keys(rolls.train), rolls.test, first=1)
    assert on_all_frames.frames == sum(map(len, rolls.test))
    assert round(on_all_frames.nats_per_frame, 2) == nats
    assert round(score_frames(uniform, rolls.test).nats_per_frame, 2) == 61.00
    assert name in FILES
