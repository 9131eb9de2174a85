"""How conditions were rated: means, and Wilcoxon signed-rank tests on each listener's own means.

Letters: l listeners, k conditions, c clips.
"""

import itertools
from collections.abc import Sequence
from typing import Any

import krippendorff
import numpy as np
from jaxtyping import Float
from scipy import stats

from ostinato.listen.analysis.preference import LEVEL, holm
from ostinato.listen.analysis.responses import Response
from ostinato.listen.web.answer import SCALES, Rating

_NUM_RESAMPLES = 2000


def rate(responses: Sequence[Response], conditions: Sequence[str]) -> dict[str, Any]:
    """Returns what the ratings say.

    For each scale the mean of each condition (of the listeners' means, with a bootstrap interval over listeners), and
    for each two conditions the mean difference within listeners with a p value (Wilcoxon, 1945, with Pratt's zeros),
    corrected by Holm for all pairs and scales; and the listeners' agreement about the clips.
    """
    rated = [(one.listener.name, one.task, one.answer) for one in responses if isinstance(one.answer, Rating)]
    means: list[dict[str, Any]] = []
    tests: list[dict[str, Any]] = []
    agreement: dict[str, float | None] = {}
    for scale in SCALES:
        means_lk = _table(
            [(name, task.conditions[0], getattr(answer, scale)) for name, task, answer in rated], conditions
        )
        points = [(name, task.clip_ids[0], getattr(answer, scale)) for name, task, answer in rated]
        agreement[scale] = alpha(_table(points, sorted({clip for _, clip, _ in points})))
        for number, condition in enumerate(conditions):
            means.append({"scale": scale, "condition": condition, **_mean(means_lk[:, number])})
        for first, second in itertools.combinations(range(len(conditions)), 2):
            difference = means_lk[:, first] - means_lk[:, second]
            difference = difference[~np.isnan(difference)]
            test = {"scale": scale, "first": conditions[first], "second": conditions[second]}
            tests.append(test | _compare(difference))
    for test, p in zip(tests, holm([test["p"] for test in tests]), strict=True):
        test["p_holm"] = float(p)
    return {"means": means, "tests": tests, "agreement": agreement}


def alpha(points_lc: Float[np.ndarray, "l c"]) -> float | None:
    """Returns Krippendorff's alpha of ordinal points: 1 is perfect agreement, 0 is what chance would give.

    None where no two listeners rated the same clip, or all points that can be compared are the same.
    """
    points_lc = points_lc[:, (~np.isnan(points_lc)).sum(axis=0) > 1]
    if len(np.unique(points_lc[~np.isnan(points_lc)])) < 2:
        return None
    return float(krippendorff.alpha(points_lc, level_of_measurement="ordinal"))


def _table(points: Sequence[tuple[str, str, int]], columns: Sequence[str]) -> Float[np.ndarray, "l k"]:
    """Returns the mean points that each listener gave in each column; NaN where there are none."""
    found: dict[tuple[str, str], list[int]] = {}
    for listener, column, value in points:
        found.setdefault((listener, column), []).append(value)
    listeners = sorted({listener for listener, _, _ in points})
    means = [[np.mean(found.get((name, column), np.nan)) for column in columns] for name in listeners]
    return np.array(means, np.float64).reshape(len(listeners), len(columns))


def _mean(values: Float[np.ndarray, " l"]) -> dict[str, Any]:
    values = values[~np.isnan(values)]
    if not len(values):
        return {"listeners": 0, "mean": None, "low": None, "high": None}
    chosen = np.random.default_rng(0).integers(0, len(values), (_NUM_RESAMPLES, len(values)))
    low, high = np.quantile(values[chosen].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"listeners": len(values), "mean": float(values.mean()), "low": float(low), "high": float(high)}


def _compare(difference: Float[np.ndarray, " l"]) -> dict[str, Any]:
    """Returns the mean difference, and the p value of one that is symmetric around 0 by chance; 1 where all are 0."""
    result: Any = stats.wilcoxon(difference, zero_method="pratt", method="auto") if difference.any() else None
    return {
        "listeners": len(difference),
        "difference": float(difference.mean()) if len(difference) else None,
        "deviation": float(difference.std(ddof=1)) if len(difference) > 1 else None,
        "p": float(result.pvalue) if result else 1.0,
    }
