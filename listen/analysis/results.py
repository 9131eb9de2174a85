"""What a study found: preference, ratings, agreement, checks, and how many more listeners it needs."""

import itertools
import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ostinato.listen.analysis.preference import LEVEL, Choices, fit, holm, p_values
from ostinato.listen.analysis.ratings import rate
from ostinato.listen.analysis.responses import Checks, Response, check, preferred, responses_of, rule_of
from ostinato.listen.design.power import ALPHA, listeners_for_preference, listeners_for_ratings
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import CHOICES, TRAINING, Comparison, Listener

ASSUMED_DEVIATION, ASSUMED_TIES, FEWEST_LISTENERS = 1.0, 0.2, 5
"""Until so many listeners have been heard: points, between listeners, of the difference of two conditions; and ties."""


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

    `main` holds them for the listeners who count by the rule, `all` for everybody's answers. `power`, `effect` and
    `points` are those of `listeners_for_preference` and `listeners_for_ratings`; `counts` are of those who refused and
    withdrew.
    """
    checks = {listener.name: check(study, listener) for listener in listeners}
    responses = [response for listener in listeners for response in responses_of(study, listener)]
    counted = [response for response in responses if checks[response.listener.name].counts]
    main = _findings(study, counted)
    trained = [one.training for one in listeners if one.training and checks[one.name].counts]
    return {
        "study": {"id": study.id, "title": study.title, "created": study.created, "clip_s": study.clip_s},
        "conditions": list(study.private.names),
        "level": LEVEL,
        "rule": rule_of(study),
        "listeners": {
            "begun": len(listeners),
            "finished": sum(made.finished for made in checks.values()),
            "count": sum(made.counts for made in checks.values()),
            **{name: number for name, number in (counts or {}).items() if name in ("refused", "withdrawn")},
        },
        "training": {name: dict(Counter(getattr(one, name) for one in trained)) for name in TRAINING},
        "checks": _checks(checks.values()),
        "main": main,
        "all": _findings(study, responses),
        "needed": _needed(study, main, power=power, effect=effect, points=points),
    }


def _findings(study: Study, responses: Sequence[Response]) -> dict[str, Any]:
    tests = [response for response in responses if response.task.role == "test"]
    return {
        "listeners": len({response.listener.name for response in tests}),
        "preference": _preference(study, [one for one in tests if isinstance(one.answer, Comparison)]),
        "ratings": rate(tests, study.private.names),
    }


def _preference(study: Study, responses: Sequence[Response]) -> dict[str, Any]:
    names = study.private.names
    numbers = list(itertools.combinations(range(len(names)), 2))
    pairs = [_pair(responses, names[i], names[j]) for i, j in numbers]
    choices = Counter(one.answer.choice for one in responses if isinstance(one.answer, Comparison))
    decided = choices["a"] + choices["b"]
    result: dict[str, Any] = {
        "answers": len(responses),
        "pairs": pairs,
        "ties": choices["none"] / len(responses) if responses else None,
        "left": choices["a"] / decided if decided else None,
        "agreement": _agreement_on_pairs(responses),
    }
    try:
        fitted = fit(_to_choices(responses, names), len(names))
    except ValueError as error:
        return result | {"strengths": None, "reason": str(error)}
    p = p_values(fitted, numbers)
    for pair, raw, corrected in zip(pairs, p, holm(p), strict=True):
        pair |= {"p": _finite(raw), "p_holm": _finite(corrected)}
    columns = zip(names, *(values.tolist() for values in (fitted.strength, fitted.low, fitted.high)), strict=True)
    strengths = [dict(zip(("condition", "strength", "low", "high"), row, strict=True)) for row in columns]
    return result | {"strengths": strengths}


def _to_choices(responses: Sequence[Response], names: Sequence[str]) -> Choices:
    listeners = sorted({response.listener.name for response in responses})
    rows = []
    for listener, task, answer in responses:
        first, second = (names.index(name) for name in task.conditions)
        assert isinstance(answer, Comparison)
        outcome = list(CHOICES).index(answer.choice)
        rows.append((first, second, outcome, listeners.index(listener.name), task.prompt))
    return Choices(*np.array(rows, np.int64).reshape(-1, 5).T)


def _pair(responses: Sequence[Response], first: str, second: str) -> dict[str, Any]:
    """Returns how often each of two conditions was preferred."""
    choices = Counter(preferred(one) for one in responses if set(one.task.conditions) == {first, second})
    counts = {"first_better": choices[first], "second_better": choices[second], "ties": choices[""]}
    return {"first": first, "second": second, **counts}


def _agreement_on_pairs(responses: Sequence[Response]) -> float | None:
    """Returns how likely two listeners who both preferred one of the same two clips preferred the same one."""
    by_clips: dict[frozenset[str], Counter[str]] = {}
    for response in responses:
        if preferred(response):
            by_clips.setdefault(frozenset(response.task.clip_ids), Counter())[preferred(response)] += 1
    same = sum(math.comb(count, 2) for votes in by_clips.values() for count in votes.values())
    both = sum(math.comb(votes.total(), 2) for votes in by_clips.values())
    return same / both if both else None


def _checks(made: Collection[Checks]) -> dict[str, int]:
    """Returns how many listeners failed which check; `broken` is what files call the attention check."""
    return {
        "chose_broken": sum(one.preferred_check for one in made),
        "rated_broken_high": sum(one.rated_check_high for one in made),
        "did_not_listen": sum(one.did_not_listen for one in made),
        "too_fast": sum(one.too_fast for one in made),
        "excluded": sum(one.finished and not one.counts for one in made),
        "unfinished": sum(not one.finished for one in made),
        "repeats": sum(one.repeats for one in made),
        "repeats_alike": sum(one.repeats_alike for one in made),
    }


def _needed(study: Study, main: dict[str, Any], *, power: float, effect: float, points: float) -> dict[str, Any]:
    num_pairs = math.comb(len(study.private.names), 2)
    heard = main["listeners"]
    ties = main["preference"]["ties"]
    tie_share = ties if ties is not None and heard >= FEWEST_LISTENERS else ASSUMED_TIES
    deviations = [test["deviation"] for test in main["ratings"]["tests"] if test["listeners"] >= FEWEST_LISTENERS]
    deviation = math.sqrt(sum(value**2 for value in deviations) / len(deviations)) if deviations else ASSUMED_DEVIATION
    each = study.private.num_comparisons / num_pairs
    preference = listeners_for_preference(
        effect, power, comparisons_each=each, tie_share=min(tie_share, 0.95), num_pairs=num_pairs
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
