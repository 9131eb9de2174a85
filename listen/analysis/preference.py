"""Who is preferred to whom: Bradley-Terry strengths with ties (Davidson 1970), with intervals for all of them together.

Letters: k conditions, p pairs, q parameters (k strengths and the log of the tendency to ties), n answers, o outcomes
(the first is better, the second is better, neither).

A strength is on the scale of log odds and all of them add up to 0: of two conditions that differ by 1, the stronger is
preferred e = 2.7 times as often as the other one. With strengths s and tendency v the chances of first, second and
neither are as exp(s1) : exp(s2) : v exp((s1 + s2) / 2).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import stats

from ostinato.configs.errors import UserError

_PRIOR_PRECISION = 0.01
"""A weak normal prior (standard deviation 10) keeps strengths finite where a condition always wins."""
_MOST_STEPS, _NUM_DRAWS = 100, 20_000
LEVEL = 0.95


class Choices(NamedTuple):
    """Comparisons, in numbers; one entry for each answer. Outcome 0: the first is better, 1: the second, 2: neither."""

    first: Int[np.ndarray, " n"]
    second: Int[np.ndarray, " n"]
    outcome: Int[np.ndarray, " n"]
    listener: Int[np.ndarray, " n"]
    prompt: Int[np.ndarray, " n"]


class Strengths(NamedTuple):
    """How much each condition is liked; all true strengths lie between low and high, with a confidence of LEVEL."""

    strength: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"]
    high: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    tie_log: float
    """Log of the tendency to ties."""
    degrees_of_freedom: int


def fit(choices: Choices, num_conditions: int) -> Strengths:
    """Returns the strengths of maximum likelihood, with intervals.

    Answers of one listener are alike, and so are answers about one prompt: the covariance is the sandwich that is
    clustered by both (Cameron, Gelbach & Miller, Robust inference with multiway clustering, 2011), so the intervals
    speak of new listeners and new pieces of music. They are simultaneous: wider by the largest of all k studentised
    errors, under the t distribution with as many degrees of freedom as there are listeners or prompts (whichever are
    fewer), less one.

    Raises:
        UserError: there are no two listeners, or no two prompts.
    """
    num_clusters = min(len(np.unique(choices.listener)), len(np.unique(choices.prompt)))
    if num_clusters < 2:
        raise UserError("strengths need comparisons of at least two prompts by at least two listeners")
    features = _features(choices, num_conditions)
    parameters = np.zeros(num_conditions + 1)
    for _ in range(_MOST_STEPS):
        scores, information = _scores(features, choices.outcome, parameters)
        step = np.linalg.solve(information, scores.sum(axis=0) - _PRIOR_PRECISION * parameters)
        parameters = parameters + step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-300))
        if np.abs(step).max() < 1e-10:
            break
    centre = np.eye(num_conditions) - 1 / num_conditions
    strength = centre @ parameters[:-1]
    covariance = centre @ _clustered_covariance(features, choices, parameters)[:-1, :-1] @ centre.T
    width = _simultaneous_quantile(covariance, num_clusters - 1) * np.sqrt(np.diag(covariance))
    return Strengths(strength, strength - width, strength + width, covariance, float(parameters[-1]), num_clusters - 1)


def p_values(strengths: Strengths, pairs: Sequence[tuple[int, int]]) -> Float[np.ndarray, " p"]:
    """Returns for each pair how surprising its difference would be if both were liked alike; two-sided, uncorrected."""
    difference = np.array([strengths.strength[first] - strengths.strength[second] for first, second in pairs])
    covariance = strengths.covariance
    variance = np.array([covariance[i, i] + covariance[j, j] - 2 * covariance[i, j] for i, j in pairs])
    return 2 * stats.t.sf(np.abs(difference) / np.sqrt(variance), strengths.degrees_of_freedom)


def holm(p: Sequence[float] | Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Returns p values corrected for their number (Holm, A simple sequentially rejective test procedure, 1979)."""
    values = np.asarray(p, np.float64)
    order = np.argsort(values)
    corrected = np.empty(len(values))
    corrected[order] = np.maximum.accumulate((len(values) - np.arange(len(values))) * values[order])
    return np.minimum(corrected, 1.0)


def _features(choices: Choices, num_conditions: int) -> Float[np.ndarray, "n 3 q"]:
    """Returns what each parameter adds to the utility of each outcome."""
    first, second = np.eye(num_conditions + 1)[choices.first], np.eye(num_conditions + 1)[choices.second]
    return np.stack([first, second, (first + second) / 2 + np.eye(num_conditions + 1)[-1]], axis=1)


def _scores(
    features: Float[np.ndarray, "n 3 q"], outcome: Int[np.ndarray, " n"], parameters: Float[np.ndarray, " q"]
) -> tuple[Float[np.ndarray, "n q"], Float[np.ndarray, "q q"]]:
    """Returns the gradient of each answer's log likelihood, and the information in all of them and the prior."""
    utility = features @ parameters
    chance = np.exp(utility - utility.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    expected = np.einsum("no,noq->nq", chance, features)
    scores = features[np.arange(len(outcome)), outcome] - expected
    information = np.einsum("no,noq,nor->qr", chance, features, features) - expected.T @ expected
    return scores, information + _PRIOR_PRECISION * np.eye(len(parameters))


def _clustered_covariance(
    features: Float[np.ndarray, "n 3 q"], choices: Choices, parameters: Float[np.ndarray, " q"]
) -> Float[np.ndarray, "q q"]:
    scores, information = _scores(features, choices.outcome, parameters)
    both = choices.listener * (choices.prompt.max() + 1) + choices.prompt
    by_listener, by_prompt = _meat(scores, choices.listener), _meat(scores, choices.prompt)
    two_way = by_listener + by_prompt - _meat(scores, both)
    # The difference of two estimates may be too small, and in few clusters even negative: never below one of them.
    meat = max((two_way, by_listener, by_prompt), key=np.trace)
    bread = np.linalg.inv(information)
    values, vectors = np.linalg.eigh(bread @ meat @ bread)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def _meat(scores: Float[np.ndarray, "n q"], cluster: Int[np.ndarray, " n"]) -> Float[np.ndarray, "q q"]:
    """Returns the covariance of the sum of scores, of which those of a cluster belong together."""
    names, number = np.unique(cluster, return_inverse=True)
    sums = np.zeros((len(names), scores.shape[1]))
    np.add.at(sums, number, scores)
    return len(names) / (len(names) - 1) * sums.T @ sums


def _simultaneous_quantile(covariance: Float[np.ndarray, "k k"], degrees_of_freedom: int) -> float:
    """Returns what the largest of all |errors| / deviations stays below with a probability of LEVEL."""
    deviation = np.sqrt(np.diag(covariance))
    if not deviation.all():
        return float(stats.t.ppf((1 + LEVEL) / 2, degrees_of_freedom))
    values, vectors = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((_NUM_DRAWS, len(deviation))) @ (vectors * np.sqrt(np.maximum(values, 0))).T
    scale = np.sqrt(rng.chisquare(degrees_of_freedom, _NUM_DRAWS) / degrees_of_freedom)
    return float(np.quantile(np.abs(normal).max(axis=1) / scale, LEVEL))
