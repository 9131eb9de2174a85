import numpy as np
import pytest

from ostinato.listen.analysis.ratings import rate
from ostinato.listen.analysis.responses import Told
from ostinato.listen.design.plan import PlannedTask
from ostinato.listen.web.answer import Listener, Rating


def _told(points):
    """Rows of (listener, condition, clip, points), the same on all scales."""
    return [
        Told(
            Listener(name, 0, "", True, None, {}),
            PlannedTask("1", "rate", (clip,), (condition,), 0, "test"),
            Rating(coherence=value, style=value, emotion=value, comment="", played_ms=(1,)),
        )
        for name, condition, clip, value in points
    ]


def test_a_mean_is_that_of_the_listeners_own_means():
    # The first listener rated "x" three times (mean 2), the second once (4): 3, not 2.5.
    told = _told([("1", "x", "a", 1), ("1", "x", "b", 2), ("1", "x", "c", 3), ("2", "x", "a", 4)])
    row = rate(told, ["x", "y"])["means"][0]
    assert (row["condition"], row["listeners"], row["mean"]) == ("x", 2, 3.0)
    assert (row["low"], row["high"]) == (2.0, 4.0)


def test_differences_within_listeners_are_tested_by_signed_ranks():
    # All of eight listeners like "x" more: the exact two-sided p is 2 / 2^8; with three scales Holm makes it 6 / 2^8.
    told = _told([(str(i), name, name, i % 3 + 2 * (name == "x") + 1) for i in range(8) for name in ("x", "y")])
    tests = rate(told, ["x", "y"])["tests"]
    assert [test["scale"] for test in tests] == ["coherence", "style", "emotion"]
    assert all(test["difference"] == 2 and test["deviation"] == 0 for test in tests)
    assert all(test["p"] < 0.02 and test["p_holm"] == pytest.approx(3 * test["p"]) for test in tests)


def test_who_likes_all_alike_says_nothing():
    told = _told([(str(i), name, name, i % 5 + 1) for i in range(8) for name in ("x", "y")])
    found = rate(told, ["x", "y"])
    assert all(test["p"] == test["p_holm"] == 1 and test["difference"] == 0 for test in found["tests"])
    assert found["agreement"]["style"] < 0.1


def test_listeners_who_rated_one_condition_only_are_not_compared():
    found = rate(_told([("1", "x", "a", 5), ("2", "y", "b", 1)]), ["x", "y"])
    assert all(test["listeners"] == 0 and test["difference"] is None for test in found["tests"])
    assert found["agreement"] == {"coherence": None, "style": None, "emotion": None}


def test_clips_that_all_rate_alike_are_agreed_on():
    told = _told([(str(i), "x", clip, value) for i in range(4) for clip, value in (("a", 1), ("b", 3), ("c", 5))])
    assert rate(told, ["x"])["agreement"]["emotion"] == 1
    assert not np.isnan(rate(told, ["x"])["means"][0]["mean"])
