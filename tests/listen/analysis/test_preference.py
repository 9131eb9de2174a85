import numpy as np
import pytest

from ostinato.listen.analysis.preference import Choices, fit, holm, p_values
from tests.listen.simulated import choices_of

TRUTH = np.array([1.0, 0.3, -0.3, -1.0])


def test_two_conditions_without_ties_have_the_log_odds_between_them():
    # 30 answers prefer the first, 10 the second; each listener and each prompt has both.
    outcome = np.tile([0, 0, 0, 1], 10)
    zeros = np.zeros(40, np.int64)
    found = fit(Choices(zeros, zeros + 1, outcome, np.arange(40) // 4, np.arange(40) % 5), 2)
    assert found.strength[0] - found.strength[1] == pytest.approx(np.log(3), abs=0.01)
    assert found.strength.sum() == pytest.approx(0, abs=1e-12)


def test_many_answers_find_strengths_and_ties():
    found = fit(choices_of(np.random.default_rng(0), TRUTH, num_listeners=2000), 4)
    np.testing.assert_allclose(found.strength, TRUTH, atol=0.06)
    assert found.tie_log == pytest.approx(-1, abs=0.06)
    assert ((found.low < TRUTH) & (found.high > TRUTH)).all()


def test_the_sides_of_a_comparison_change_nothing():
    choices = choices_of(np.random.default_rng(1), TRUTH, num_listeners=20)
    turned = choices._replace(first=choices.second, second=choices.first, outcome=np.array([1, 0, 2])[choices.outcome])
    np.testing.assert_allclose(fit(choices, 4).strength, fit(turned, 4).strength, atol=1e-8)


def test_a_condition_that_always_wins_has_a_finite_strength():
    zeros = np.zeros(20, np.int64)
    found = fit(Choices(zeros, zeros + 1, zeros, np.arange(20), np.arange(20) % 4), 2)
    assert np.isfinite([found.strength, found.low, found.high]).all()
    assert found.strength[0] > 2


def test_listeners_who_repeat_themselves_do_not_make_intervals_narrower():
    rng = np.random.default_rng(2)
    choices = choices_of(rng, TRUTH, num_listeners=24)
    five_times = Choices(*(np.repeat(column, 5) for column in choices))
    once, often = fit(choices, 4), fit(five_times, 4)
    assert ((often.high - often.low) > 0.95 * (once.high - once.low)).all()


def test_strengths_of_a_known_preference_lie_within_their_intervals():
    """All four at the same time, in at least 95 of 100 studies of 30 listeners with 6 comparisons each."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        found = fit(choices_of(rng, TRUTH, num_listeners=30), 4)
        held += bool(((found.low <= TRUTH) & (found.high >= TRUTH)).all())
    assert held >= 95


def test_where_nothing_is_preferred_p_values_are_seldom_small():
    rng = np.random.default_rng(3)
    pairs = [(0, 1), (0, 2), (1, 2)]
    seen = [
        min(holm(p_values(fit(choices_of(rng, np.zeros(3), num_listeners=24), 3), pairs))) < 0.05 for _ in range(100)
    ]
    assert sum(seen) <= 10


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1.0, 1.0])


def test_one_listener_is_not_enough():
    zeros = np.zeros(4, np.int64)
    with pytest.raises(ValueError, match="at least two listeners"):
        fit(Choices(zeros, zeros + 1, zeros, zeros, np.arange(4)), 2)
    empty = zeros[:0]
    with pytest.raises(ValueError, match="at least two prompts"):
        fit(Choices(empty, empty, empty, empty, empty), 2)
