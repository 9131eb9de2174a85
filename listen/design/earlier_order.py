"""Who hears what in studies of format 1, which are answered and analysed as they were begun. No study is made so today.

Over listeners, every two conditions are compared equally often, each of them equally often on the left; every condition
is rated equally often; each comes equally often at each place and after each other one; prompts go round among them.
All of it follows from a listener's number and the number of conditions, so whoever knows some orders and this source
knows which clip is whose: `tests/listen/attacker.py` does it.
"""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

from ostinato.listen.design.order import CHECK, HUMAN, REPEAT_DISTANCE, PlannedTask, TaskKind, choose, williams


class Shape(NamedTuple):
    """How large a study is."""

    conditions: Sequence[str]
    """At least two names."""
    num_prompts: int
    """Of which each listener gets each at most once; the checks have one more, which is the last."""
    num_comparisons: int
    """Of each listener, without checks."""
    num_ratings: int
    seed: int
    """Of the places of the checks."""


def pairs_of(num_conditions: int) -> list[tuple[int, int]]:
    """Returns all pairs of conditions, turned so that each condition is first in half of its pairs, or nearly so."""
    half = num_conditions / 2
    return [
        (first, second) if second - first < half or (second - first == half and first % 2 == 0) else (second, first)
        for first, second in itertools.combinations(range(num_conditions), 2)
    ]


def plan_tasks(number: int, shape: Shape) -> list[PlannedTask]:
    """Returns the tasks of a listener, from 0, in their order: the comparisons, then the ratings.

    The prompts of the ratings are not those of the same listener's comparisons.
    """
    pairs = pairs_of(len(shape.conditions))
    # The first prompt moves on with each listener, and once more after each common period.
    period = math.lcm(len(williams(len(shape.conditions))), len(williams(len(pairs))), shape.num_prompts)
    first_prompt = number + number // period
    singles = [(condition,) for condition in range(len(shape.conditions))]
    compared = _tests("compare", pairs, shape.num_comparisons, number, first_prompt, shape)
    rated = _tests("rate", singles, shape.num_ratings, number, first_prompt + shape.num_comparisons, shape)
    tasks: list[PlannedTask] = []
    for tests in (compared, rated):
        tasks += _with_checks(tests, len(tasks), number, shape)
    return [task._replace(id=str(place)) for place, task in enumerate(tasks, 1)]


def _tests(
    kind: TaskKind, heard: Sequence[tuple[int, ...]], count: int, number: int, first_prompt: int, shape: Shape
) -> list[PlannedTask]:
    """Returns the tasks without checks; `heard` are the conditions that are heard together."""
    rows = williams(len(heard))
    tasks = []
    for place in range(count):
        block, column = divmod(place, len(heard))
        conditions = tuple(shape.conditions[i] for i in heard[rows[(number + block) % len(rows)][column]])
        is_turned = (number + number // len(rows) + block) % 2
        prompt = (first_prompt + place) % shape.num_prompts
        tasks.append(PlannedTask("", kind, "test", conditions[::-1] if is_turned else conditions, prompt))
    return tasks


def _with_checks(tests: list[PlannedTask], num_before: int, number: int, shape: Shape) -> list[PlannedTask]:
    """Returns the tasks with the attention check somewhere after the first, and at the end an early one again."""
    kind, seed = tests[0].kind, shape.seed
    repeated = choose(max(1, len(tests) - REPEAT_DISTANCE), seed, number, kind, "repeated")
    place = 1 + choose(max(1, len(tests) - 1), seed, number, kind, CHECK)
    heard = (CHECK, HUMAN) if kind == "compare" else (CHECK,)
    is_turned = choose(2, seed, number, "side")
    check = PlannedTask("", kind, CHECK, heard[::-1] if is_turned else heard, shape.num_prompts)
    original = tests[repeated]
    repeats = str(num_before + repeated + (repeated >= place) + 1)
    again = original._replace(role="repeat", conditions=original.conditions[::-1], repeats=repeats)
    return [*tests[:place], check, *tests[place:], again]
