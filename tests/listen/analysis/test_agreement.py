import numpy as np
import pytest

from ostinato.listen.analysis.agreement import krippendorff_alpha

NAN = np.nan
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
"""Krippendorff, Computing Krippendorff's alpha-reliability (2011), sections C and D."""


def test_the_published_example_is_met():
    assert krippendorff_alpha(PUBLISHED, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert krippendorff_alpha(PUBLISHED, "ordinal") == pytest.approx(0.815, abs=5e-4)


def test_perfect_agreement_is_1_and_guessing_is_about_0():
    assert krippendorff_alpha(np.array([[1.0, 2, 5], [1, 2, 5]]), "ordinal") == 1
    guessed = np.random.default_rng(0).integers(1, 6, (20, 500)).astype(float)
    assert krippendorff_alpha(guessed, "ordinal") == pytest.approx(0, abs=0.01)


def test_where_nothing_can_be_compared_there_is_no_alpha():
    assert np.isnan(krippendorff_alpha(np.array([[1.0, NAN], [NAN, 2]]), "ordinal"))
    assert np.isnan(krippendorff_alpha(np.array([[3.0, 3], [3, 3]]), "ordinal"))
    assert np.isnan(krippendorff_alpha(np.full((2, 2), NAN), "ordinal"))
