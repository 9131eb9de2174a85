import numpy as np
import pytest
from scipy.linalg import sqrtm
from scipy.stats import gaussian_kde, norm

from ostinato.evaluation.metrics.distances import between_classes, between_values, frechet

rng = np.random.default_rng(3)


def test_two_gaussians_are_as_far_apart_as_theory_says():
    # mgeval: a divergence of 0.021, each density on its own grid. The true one is 50; ours ends at 27.6.
    far = between_values(rng.normal(10, 1, 400), rng.normal(0, 1, 400))
    assert far.overlap < 1e-4
    assert far.divergence_nats > 15
    # Kernels widen both densities a little: the bars are those of 4,000 draws, not of the limit.
    near = between_values(rng.normal(1, 1, 4000), rng.normal(0, 1, 4000))
    assert near.overlap == pytest.approx(2 * norm.cdf(-0.5), abs=0.03)
    assert near.divergence_nats == pytest.approx(0.5, abs=0.08)


def test_the_density_is_that_of_scipy():
    first, second = rng.gamma(2, 1, 50), rng.gamma(3, 1, 60)
    grid = np.linspace(-10, 25, 20_001)
    # SciPy's bandwidth takes the deviation with n - 1.
    densities = [gaussian_kde(one, len(one) ** -0.2 * one.std() / one.std(ddof=1))(grid) for one in (first, second)]
    area = np.minimum(*densities).sum() * (grid[1] - grid[0])
    assert between_values(first, second).overlap == pytest.approx(area, abs=2e-3)


def test_equal_values_are_compared_too():
    assert between_values(np.ones(5), np.ones(7)) == (1, 0)
    values = rng.normal(0, 1, 20)
    assert between_values(values, values) == (pytest.approx(1), pytest.approx(0))
    assert 0 < between_values(np.full(9, 0.5), rng.random(100)).overlap < 0.2


def test_divergence_is_large_where_what_is_real_is_missing():
    narrow, wide = np.array([1.0, 0, 0, 0]), np.full(4, 0.25)
    assert between_classes(narrow, wide).overlap == 0.25
    assert between_classes(narrow, wide).divergence_nats > 3 > between_classes(wide, narrow).divergence_nats
    assert between_classes(wide, narrow).divergence_nats == pytest.approx(np.log(4), abs=0.01)


def test_frechet_is_the_formula():
    first, second = rng.normal(0, 1, (200, 3)) @ rng.random((3, 3)), rng.normal(1, 2, (150, 3))
    covariance = [np.cov(one, rowvar=False) for one in (first, second)]
    root = np.asarray(sqrtm(covariance[0] @ covariance[1])).real
    expected = ((first.mean(0) - second.mean(0)) ** 2).sum() + np.trace(covariance[0] + covariance[1] - 2 * root)
    assert frechet(first, second) == pytest.approx(expected)
    assert frechet(first, first) == pytest.approx(0, abs=1e-6)
    few = rng.normal(0, 1, (5, 8))  # fewer pieces than figures
    assert frechet(few, few + 2) == pytest.approx(4 * 8, abs=1e-5), "the square of the shift"
