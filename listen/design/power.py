"""How many listeners a study needs to see an effect that is there."""

import math

import numpy as np
from scipy import stats

from ostinato.configs.errors import UserError

ALPHA = 0.05


def listeners_for_preference(
    effect: float, power: float, *, comparisons_each: float, tie_share: float, num_pairs: int
) -> int:
    """Returns how many listeners are needed until a preference between two conditions is seen.

    By the exact two-sided sign test on the answers about these two that are no ties, at ALPHA over the number of pairs
    (Bonferroni; Holm needs no more). Strengths are fitted to all pairs together, which sees a little more.

    Args:
        effect: share of the answers, without ties, that prefer the better one; above 0.5 and below 1.
        power: the chance of seeing it.
        comparisons_each: how often a listener compares these two conditions.
        tie_share: of the answers.
        num_pairs: of conditions.

    Raises:
        UserError: effect or power is no such share.
    """
    if not 0.5 < effect < 1 or not 0 < power < 1:
        raise UserError(f"effect {effect} must be above 0.5 and below 1, power {power} above 0 and below 1")
    # More than are needed: twice what the normal approximation says, and some.
    quantile = stats.norm.ppf(1 - ALPHA / num_pairs / 2) + max(stats.norm.ppf(power), 0)
    answers = np.arange(1, math.ceil(2 * (quantile / (2 * effect - 1)) ** 2) + 51)
    most_by_chance = stats.binom.isf(ALPHA / num_pairs / 2, answers, 0.5)
    enough = stats.binom.sf(most_by_chance, answers, effect) >= power
    return math.ceil(int(answers[enough.argmax()]) / (comparisons_each * (1 - tie_share)))


def listeners_for_ratings(difference: float, power: float, *, deviation: float, num_tests: int) -> int:
    """Returns how many listeners are needed until a difference in points between two conditions is seen.

    Wilcoxon's test needs pi / 3 times as many pairs as the t test, for normal differences: n = pi / 3
    (z(1 - a/2) + z(power))^2 (deviation / difference)^2, with a the ALPHA over the number of tests, and the deviation
    of that difference between listeners, each of whom gives several ratings.
    """
    if not difference > 0 or not 0 < power < 1:
        raise UserError(f"difference {difference} must be above 0, power {power} above 0 and below 1")
    quantile = stats.norm.ppf(1 - ALPHA / num_tests / 2) + stats.norm.ppf(power)
    return max(2, math.ceil(math.pi / 3 * (quantile * deviation / difference) ** 2))
