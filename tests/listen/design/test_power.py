import numpy as np
import pytest
from scipy import stats

from ostinato.listen.design.power import ALPHA, listeners_for_preference, listeners_for_ratings


def test_the_number_is_that_of_the_exact_sign_test():
    number = listeners_for_preference(0.65, 0.8, comparisons_each=1, tie_share=0, num_pairs=1)
    powers = {}
    for answers in (number - 1, number):
        wins = np.arange(answers + 1)
        significant = [stats.binomtest(int(count), answers).pvalue < ALPHA for count in wins]
        powers[answers] = stats.binom.pmf(wins, answers, 0.65)[np.array(significant) & (wins > answers / 2)].sum()
    assert powers[number] >= 0.8 > powers[number - 1]


def test_ties_tell_nothing_and_two_answers_of_a_listener_tell_twice_as_much():
    number = listeners_for_preference(0.65, 0.8, comparisons_each=1, tie_share=0, num_pairs=1)
    assert listeners_for_preference(0.65, 0.8, comparisons_each=2, tie_share=0.5, num_pairs=1) == number


def test_as_many_listeners_as_are_said_see_the_effect_as_often_as_is_said():
    number = listeners_for_preference(0.7, 0.8, comparisons_each=1, tie_share=0, num_pairs=3)
    wins = np.random.default_rng(0).binomial(number, 0.7, 1000)
    p_of = [stats.binomtest(count, number).pvalue for count in range(number + 1)]
    assert np.mean(np.array(p_of)[wins] < ALPHA / 3) == pytest.approx(0.8, abs=0.03)


def test_as_many_ratings_as_are_said_see_the_difference_as_often_as_is_said():
    number = listeners_for_ratings(0.5, 0.8, deviation=1.0, num_tests=9)
    rng = np.random.default_rng(0)
    seen = np.mean([stats.wilcoxon(rng.normal(0.5, 1.0, number)).pvalue < ALPHA / 9 for _ in range(1000)])
    assert seen == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(("effect", "power"), [(0.5, 0.8), (1.0, 0.8), (0.7, 1.0), (0.7, 0.0)])
def test_what_is_no_effect_or_no_power_is_refused(effect, power):
    with pytest.raises(ValueError, match="must be above"):
        listeners_for_preference(effect, power, comparisons_each=1, tie_share=0, num_pairs=1)
