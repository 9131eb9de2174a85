"""How conditions were rated: means, and Wilcoxon signed-rank tests on each listener's own means.

Letters: l listeners, k conditions.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy import stats

from ostinato.listen.analysis.agreement import krippendorff_alpha
from ostinato.listen.analysis.preference import LEVEL, holm
from ostinato.listen.analysis.responses import Told
from ostinato.listen.web.answer import SCALES, Rating

_NUM_RESAMPLES = 2000


def rate(told: Sequence[Told], conditions: Sequence[str]) -> dict[str, Any]:
    """Returns what the ratings say.

    For each scale the mean of each condition (of the listeners' means, with a bootstrap interval over listeners), and
    for each two conditions the mean difference within listeners with a p value (Wilcoxon, 1945, with Pratt's zeros),
    corrected by Holm for all pairs and scales.
    """
    means: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    for scale in SCALES:
        means_lk = _listener_means(told, conditions, scale)
        for number, condition in enumerate(conditions):
            means.append({"scale": scale, "condition": condition, **_mean(means_lk[:, number])})
        for first, second in itertools.combinations(range(len(conditions)), 2):
            difference = means_lk[:, first] - means_lk[:, second]
            difference = difference[~np.isnan(difference)]
            tests.append(
                {
                    "scale": scale,
                    "first": conditions[first],
                    "second": conditions[second],
                    "listeners": len(difference),
                    "difference": float(difference.mean()) if len(difference) else None,
                    "deviation": float(difference.std(ddof=1)) if len(difference) > 1 else None,
                    "p": _wilcoxon(difference),
                }
            )
    for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = float(p)
    return {"means": means, "tests": tests, "agreement": _agreement(told)}


def _listener_means(told: Sequence[Told], conditions: Sequence[str], scale: str) -> Float[np.ndarray, "l k"]:
    """Returns the mean points that each listener gave to each condition; NaN where there are none."""
    points: dict[tuple[str, str], list[int]] = {}
    for row in told:
        if isinstance(row.answer, Rating):
            points.setdefault((row.listener.name, row.task.conditions[0]), []).append(getattr(row.answer, scale))
    names = sorted({name for name, _ in points})
    return np.array(
        [
            [np.mean(points[name, condition]) if (name, condition) in points else np.nan for condition in conditions]
            for name in names
        ],
        np.float64,
    ).reshape(len(names), len(conditions))


def _mean(values: Float[np.ndarray, " l"]) -> dict[str, Any]:
    values = values[~np.isnan(values)]
    if not len(values):
        return {"listeners": 0, "mean": None, "low": None, "high": None}
    chosen = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"listeners": len(values), "mean": float(values.mean()), "low": float(low), "high": float(high)}


def _wilcoxon(difference: Float[np.ndarray, " l"]) -> float:
    """Returns the p value of differences that would be symmetric around 0 by chance; 1 where all are 0."""
    if not len(difference) or not difference.any():
        return 1.0
    result: Any = stats.wilcoxon(difference, zero_method="pratt", method="auto")
    return float(result.pvalue)


def _agreement(told: Sequence[Told]) -> dict[str, float | None]:
    """Returns Krippendorff's alpha of each scale, over the clips."""
    rated = [(row.listener.name, row.task.clip_ids[0], row.answer) for row in told if isinstance(row.answer, Rating)]
    listeners = {name: number for number, name in enumerate(sorted({name for name, _, _ in rated}))}
    clips = {clip: number for number, clip in enumerate(sorted({clip for _, clip, _ in rated}))}
    found: dict[str, float | None] = {}
    for scale in SCALES:
        ratings = np.full((len(listeners), len(clips)), np.nan)
        for name, clip, answer in rated:
            ratings[listeners[name], clips[clip]] = getattr(answer, scale)
        alpha = krippendorff_alpha(ratings, "ordinal")
        found[scale] = None if np.isnan(alpha) else alpha
    return found
