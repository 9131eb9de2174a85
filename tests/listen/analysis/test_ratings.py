import numpy as np
import pytest

from ostinato.listen.analysis.ratings import alpha, rate
from ostinato.listen.analysis.responses import Response
from ostinato.listen.design.order import PlannedTask
from ostinato.listen.web.answer import Listener, Rating

NAN = np.nan
PUBLISHED = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, NAN, NAN, NAN],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NAN, 3],
        [NAN, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NAN],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NAN],
    ]
)
"""Krippendorff, Computing Krippendorff's alpha-reliability (2011), section D."""


def _responses(points):
    """Rows of (listener, condition, clip, points), the same on all scales."""
    return [
        Response(
            Listener(name, 0, "", True, None, {}),
            PlannedTask("1", "rate", "test", (condition,), 0, clip_ids=(clip,)),
            Rating(coherence=value, style=value, emotion=value, comment="", played_ms=(1,)),
        )
        for name, condition, clip, value in points
    ]


def test_a_mean_is_that_of_the_listeners_own_means():
    # The first listener rated "x" three times (mean 2), the second once (4): 3, not 2.5.
    responses = _responses([("1", "x", "a", 1), ("1", "x", "b", 2), ("1", "x", "c", 3), ("2", "x", "a", 4)])
    row = rate(responses, ["x", "y"])["means"][0]
    assert (row["condition"], row["listeners"], row["mean"]) == ("x", 2, 3.0)
    assert (row["low"], row["high"]) == (2.0, 4.0)


def test_differences_within_listeners_are_tested_by_signed_ranks():
    # All of eight listeners like "x" more: the exact two-sided p is 2 / 2^8; with three scales Holm makes it 6 / 2^8.
    points = [(str(i), name, name, i % 3 + 2 * (name == "x") + 1) for i in range(8) for name in ("x", "y")]
    tests = rate(_responses(points), ["x", "y"])["tests"]
    assert [test["scale"] for test in tests] == ["coherence", "style", "emotion"]
    assert all(test["difference"] == 2 and test["deviation"] == 0 for test in tests)
    assert all(test["p"] < 0.02 and test["p_holm"] == pytest.approx(3 * test["p"]) for test in tests)


def test_who_likes_all_alike_says_nothing():
    found = rate(_responses([(str(i), name, name, i % 5 + 1) for i in range(8) for name in ("x", "y")]), ["x", "y"])
    assert all(test["p"] == test["p_holm"] == 1 and test["difference"] == 0 for test in found["tests"])
    assert found["agreement"]["style"] < 0.1


def test_listeners_who_rated_one_condition_only_are_not_compared():
    found = rate(_responses([("1", "x", "a", 5), ("2", "y", "b", 1)]), ["x", "y"])
    assert all(test["listeners"] == 0 and test["difference"] is None for test in found["tests"])
    assert found["agreement"] == {"coherence": None, "style": None, "emotion": None}


def test_agreement_is_that_of_the_published_example_and_none_where_nothing_can_be_compared():
    assert alpha(PUBLISHED) == pytest.approx(0.815, abs=5e-4)
    assert alpha(np.array([[1.0, 2, 5], [1, 2, 5]])) == 1
    guessed = np.random.default_rng(0).integers(1, 6, (20, 500)).astype(float)
    assert alpha(guessed) == pytest.approx(0, abs=0.01)
    for points in ([[1.0, NAN], [NAN, 2]], [[3.0, 3], [3, 3]], [[3.0, 3, 1], [3, 3, NAN]], [[NAN, NAN], [NAN, NAN]]):
        assert alpha(np.array(points)) is None
