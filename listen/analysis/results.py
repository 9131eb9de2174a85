"""What a study found: preference, ratings, agreement, checks, and how many more listeners it needs."""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ostinato.listen.analysis.preference import LEVEL, Choices, fit, holm, p_values
from ostinato.listen.analysis.ratings import rate
from ostinato.listen.analysis.responses import RULE, Checks, Told, check, preferred, tests_of, told_by
from ostinato.listen.design.power import ALPHA, listeners_for_preference, listeners_for_ratings
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import Comparison, Listener

ASSUMED_DEVIATION = 1.0
"""Points, between listeners, of the difference of two conditions; until FEWEST_LISTENERS have been heard."""

ASSUMED_TIES = 0.2
FEWEST_LISTENERS = 5


def summarise(
    study: Study,
    listeners: Sequence[Listener],
    *,
    power: float = 0.8,
    effect: float = 0.65,
    points: float = 0.5,
    counts: dict[str, int] | None = None,
) -> dict[str, Any]:
    """Returns all results, ready for JSON.

    `main` holds them for the listeners who count by RULE, `all` for everybody's answers.

    Args:
        study: what was asked.
        listeners: who answered.
        power: the chance of seeing an effect, for the number of listeners that are needed.
        effect: share of answers, without ties, that prefer the better of two conditions.
        points: difference between the mean points of two conditions.
        counts: of those who refused and withdrew, where they are known.
    """
    checks = {listener.name: check(study, listener) for listener in listeners}
    told = [row for listener in listeners for row in told_by(study, listener)]
    kept = [row for row in told if checks[row.listener.name].counts]
    main = _findings(study, kept)
    return {
        "study": {"id": study.id, "title": study.title, "created": study.created, "clip_s": study.clip_s},
        "conditions": list(study.private.names),
        "level": LEVEL,
        "rule": RULE,
        "listeners": {
            "begun": len(listeners),
            "finished": sum(made.finished for made in checks.values()),
            "count": sum(made.counts for made in checks.values()),
            **{name: number for name, number in (counts or {}).items() if name in ("refused", "withdrawn")},
        },
        "training": _training(listeners, checks),
        "checks": _checks(checks.values()),
        "main": main,
        "all": _findings(study, told),
        "needed": _needed(study, kept, main, power=power, effect=effect, points=points),
    }


def _findings(study: Study, told: Sequence[Told]) -> dict[str, Any]:
    tests = tests_of(told)
    return {
        "listeners": len({row.listener.name for row in tests}),
        "preference": _preference(study, [row for row in tests if isinstance(row.answer, Comparison)]),
        "ratings": rate([row for row in tests if not isinstance(row.answer, Comparison)], study.private.names),
    }


def _preference(study: Study, told: Sequence[Told]) -> dict[str, Any]:
    names = study.private.names
    pairs = list(itertools.combinations(range(len(names)), 2))
    result: dict[str, Any] = {"answers": len(told), "pairs": [_pair(told, names[i], names[j]) for i, j in pairs]}
    choices = [row.answer.choice for row in told if isinstance(row.answer, Comparison)]
    decided = len(choices) - choices.count("none")
    result["ties"] = choices.count("none") / len(choices) if choices else None
    result["left"] = choices.count("a") / decided if decided else None
    result["agreement"] = _agreement_on_pairs(told)
    try:
        strengths = fit(_to_choices(told, names), len(names))
    except ValueError as error:
        return result | {"strengths": None, "reason": str(error)}
    p = p_values(strengths, pairs)
    for pair, raw, corrected in zip(result["pairs"], p, holm(p), strict=True):
        pair |= {"p": _finite(raw), "p_holm": _finite(corrected)}
    columns = zip(names, strengths.strength, strengths.low, strengths.high, strict=True)
    result["strengths"] = [
        {"condition": name, "strength": float(strength), "low": float(low), "high": float(high)}
        for name, strength, low, high in columns
    ]
    return result


def _to_choices(told: Sequence[Told], names: Sequence[str]) -> Choices:
    number = {name: place for place, name in enumerate(names)}
    listeners = {name: place for place, name in enumerate(sorted({row.listener.name for row in told}))}
    rows = [
        (
            number[row.task.conditions[0]],
            number[row.task.conditions[1]],
            ("a", "b", "none").index(row.answer.choice),
            listeners[row.listener.name],
            row.task.prompt,
        )
        for row in told
        if isinstance(row.answer, Comparison)
    ]
    return Choices(*np.array(rows, np.int64).reshape(-1, 5).T)


def _pair(told: Sequence[Told], first: str, second: str) -> dict[str, Any]:
    """Returns how often each of two conditions was preferred."""
    choices = Counter(preferred(row) for row in told if set(row.task.conditions) == {first, second})
    return {"first": first, "second": second, "first_better": choices[first], "second_better": choices[second]} | {
        "ties": choices[""]
    }


def _agreement_on_pairs(told: Sequence[Told]) -> float | None:
    """Returns how likely two listeners who both preferred one of the same two clips preferred the same one."""
    by_clips: dict[frozenset[str], Counter[str]] = {}
    for row in told:
        if preferred(row):
            by_clips.setdefault(frozenset(row.task.clip_ids), Counter())[preferred(row)] += 1
    same = sum(math.comb(count, 2) for votes in by_clips.values() for count in votes.values())
    both = sum(math.comb(votes.total(), 2) for votes in by_clips.values())
    return same / both if both else None


def _checks(made: Collection[Checks]) -> dict[str, int]:
    return {
        "chose_broken": sum(one.chose_broken for one in made),
        "rated_broken_high": sum(one.rated_broken_high for one in made),
        "did_not_listen": sum(one.did_not_listen for one in made),
        "excluded": sum(one.finished and not one.counts for one in made),
        "unfinished": sum(not one.finished for one in made),
        "repeats": sum(one.repeats for one in made),
        "repeats_alike": sum(one.repeats_alike for one in made),
    }


def _training(listeners: Sequence[Listener], checks: dict[str, Checks]) -> dict[str, dict[str, int]]:
    """Returns how many of those who count said what about themselves."""
    said = [one.training for one in listeners if one.training and checks[one.name].counts]
    names = ("practice", "level", "playback")
    return {name: dict(Counter(getattr(training, name) for training in said)) for name in names}


def _needed(
    study: Study, told: Sequence[Told], main: dict[str, Any], *, power: float, effect: float, points: float
) -> dict[str, Any]:
    num_conditions = len(study.private.names)
    num_pairs = math.comb(num_conditions, 2)
    heard = main["listeners"]
    ties = main["preference"]["ties"]
    tie_share = ties if ties is not None and heard >= FEWEST_LISTENERS else ASSUMED_TIES
    deviations = [test["deviation"] for test in main["ratings"]["tests"] if test["listeners"] >= FEWEST_LISTENERS]
    deviation = math.sqrt(sum(value**2 for value in deviations) / len(deviations)) if deviations else ASSUMED_DEVIATION
    preference = listeners_for_preference(
        effect,
        power,
        comparisons_each=study.private.num_comparisons / num_pairs,
        tie_share=min(tie_share, 0.95),
        num_pairs=num_pairs,
    )
    ratings = listeners_for_ratings(points, power, deviation=deviation, num_tests=3 * num_pairs)
    return {
        "power": power,
        "alpha": ALPHA,
        "effect": effect,
        "points": points,
        "tie_share": tie_share,
        "deviation": deviation,
        "assumed": not deviations,
        "preference": preference,
        "preference_more": max(0, preference - heard),
        "ratings": ratings,
        "ratings_more": max(0, ratings - heard),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
