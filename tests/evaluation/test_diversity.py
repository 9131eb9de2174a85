import numpy as np
import pytest

from ostinato.evaluation.diversity import compare_diversity, mean_of_pairs
from tests.midi_files import tune


def test_the_mean_is_that_of_different_pieces_and_lies_in_its_interval():
    distances = np.abs(np.subtract.outer(np.arange(10.0), np.arange(10.0)))
    found = mean_of_pairs(distances)
    assert found["mean"] == pytest.approx(11 / 3)
    low, high = found["interval"]
    assert 1 < low < found["mean"] < high < 6


def test_the_same_piece_over_and_over_has_no_variety():
    generated, real = [tune(1)] * 5, [tune(number) for number in range(2, 12)]
    rng = np.random.default_rng(0)
    table = np.r_[np.zeros((5, 8)), rng.normal(size=(10, 8))]
    found = compare_diversity(table, [*generated, *real], 5)
    for space in found.values():
        assert space["generated"]["mean"] == pytest.approx(0, abs=1e-9)
        assert space["real"]["interval"][0] > 0.05
    assert found["features"]["real"]["mean"] == pytest.approx(1, abs=0.2), "independent features, each with deviation 1"
