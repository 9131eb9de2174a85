import numpy as np
import pytest

from ostinato.benchmarks.rolls.read import NUM_KEYS
from ostinato.benchmarks.rolls.streams import transpose
from ostinato.benchmarks.rolls_overlap import shared_windows


def roll(*frames):
    piece = np.zeros((len(frames), NUM_KEYS), np.uint8)
    for t, keys in enumerate(frames):
        piece[t, list(keys)] = 1
    return piece


TRAINING = roll([], [40, 44], [41], [47], [50], [52])


@pytest.mark.parametrize(("any_key", "share"), [(False, 0.0), (True, 1.0)])
def test_a_transposed_piece_is_the_same_only_in_any_key(any_key, share):
    assert shared_windows([transpose(TRAINING, 3)], [TRAINING], 3, any_key=any_key) == [share]


@pytest.mark.parametrize("any_key", [False, True])
def test_the_share_is_that_of_windows_that_occur(any_key):
    # Of four windows of two frames, those that begin with the chord and with 41 occur.
    piece = roll([40, 44], [41], [47], [80], [40])
    assert shared_windows([piece, TRAINING], [TRAINING], 2, any_key=any_key) == [0.5, 1.0]


def test_a_piece_shorter_than_a_window_shares_nothing():
    assert shared_windows([TRAINING[:2]], [TRAINING], 3, any_key=True) == [0.0]
