import numpy as np
import pytest
import scipy.stats

from ostinato.evaluation import bootstrap
from ostinato.evaluation.bootstrap import interval, resampled_sums


def _sums(seed=0, num_pieces=40):
    """Nats and notes of some pieces: short ones are harder."""
    rng = np.random.default_rng(seed)
    notes = rng.integers(20, 400, num_pieces).astype(float)
    return np.stack([notes * rng.normal(2.0, 0.3, num_pieces) + 30, notes], 1)


def test_the_interval_of_a_ratio_is_that_of_scipy():
    nats, notes = _sums().T
    ours = interval(np.divide(*resampled_sums(_sums(), num_resamples=20_000).T))
    theirs = scipy.stats.bootstrap(
        (nats, notes),
        lambda a, b, axis: a.sum(axis) / b.sum(axis),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval
    width = theirs.high - theirs.low
    assert ours.low == pytest.approx(theirs.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.high, abs=0.03 * width)


def test_pieces_are_drawn_and_not_rows():
    """Two kinds of piece of equal size: the number of the first kind among n draws is binomial."""
    sums = resampled_sums(np.repeat([[0.0], [1.0]], 50, axis=0), num_resamples=4000)
    assert sums.mean() == pytest.approx(50, abs=0.5)
    assert sums.std() == pytest.approx(5, rel=0.05), "the root of 100 times a half times a half"


def test_resamples_are_the_same_whatever_stands_beside_and_however_many_fit_in_memory(monkeypatch):
    sums = _sums()
    together = resampled_sums(sums)
    np.testing.assert_allclose(resampled_sums(sums[:, :1]), together[:, :1])
    monkeypatch.setattr(bootstrap, "_CELLS", 100)
    np.testing.assert_allclose(resampled_sums(sums), together)
    assert not np.allclose(resampled_sums(sums, seed=1), together)


def test_equal_pieces_leave_no_doubt():
    assert interval(np.divide(*resampled_sums(np.full((9, 2), [3.0, 2.0])).T)) == pytest.approx((1.5, 1.5))
