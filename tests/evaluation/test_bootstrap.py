import numpy as np
import pytest
import scipy.stats

from ostinato.evaluation import bootstrap
from ostinato.evaluation.bootstrap import interval, resampled_sums

_RNG = np.random.default_rng(0)
NOTES = _RNG.integers(20, 400, 40).astype(float)
SUMS = np.stack([NOTES * _RNG.normal(2.0, 0.3, 40) + 30, NOTES], 1)
"""Nats and notes of some pieces: short ones are harder."""


def test_the_interval_of_a_ratio_is_that_of_scipy():
    ours = interval(np.divide(*resampled_sums(SUMS, num_resamples=20_000).T))
    theirs = scipy.stats.bootstrap(
        tuple(SUMS.T), lambda a, b, axis: a.sum(axis) / b.sum(axis), paired=True, vectorized=True, n_resamples=20_000,
        method="percentile", rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    assert list(ours) == pytest.approx([theirs.low, theirs.high], abs=0.03 * (theirs.high - theirs.low))


def test_pieces_are_drawn_and_not_rows():
    """Two kinds of piece of equal size: the number of the first kind among n draws is binomial."""
    sums = resampled_sums(np.repeat([[0.0], [1.0]], 50, axis=0), num_resamples=4000)
    assert sums.mean() == pytest.approx(50, abs=0.5)
    assert sums.std() == pytest.approx(5, rel=0.05), "the root of 100 times a half times a half"


def test_resamples_are_the_same_whatever_stands_beside_and_however_many_fit_in_memory(monkeypatch):
    together = resampled_sums(SUMS)
    np.testing.assert_allclose(resampled_sums(SUMS[:, :1]), together[:, :1])
    monkeypatch.setattr(bootstrap, "_CELLS", 100)
    np.testing.assert_allclose(resampled_sums(SUMS), together)
    assert not np.allclose(resampled_sums(SUMS, seed=1), together)


def test_equal_pieces_leave_no_doubt():
    assert interval(np.divide(*resampled_sums(np.full((9, 2), [3.0, 2.0])).T)) == pytest.approx((1.5, 1.5))
