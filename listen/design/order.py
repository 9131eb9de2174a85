"""Who hears what, when, and on which side: the balanced order of the tasks of each listener.

Over listeners, every two conditions are compared equally often, each of them equally often on the left; every condition
is rated equally often; each comes equally often at each place and after each other one (Williams, Experimental designs
balanced for the estimation of residual effects of treatments, 1949); prompts go round among them.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

HUMAN = "human"
"""The condition that every study has: music by people."""

CHECK: Final = "broken"
"""The attention check, as files spell it: the condition of its clip, which no other may be called, and its role."""
TaskKind = Literal["compare", "rate"]
Role = Literal["test", "broken", "repeat"]
"""What a task is for: to learn something, or (an attention check, a repeat) to see whether the listener listens."""

REPEAT_DISTANCE = 3
"""The smallest number of tasks between a task and its repeat."""


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


class PlannedTask(NamedTuple):
    """A task of a listener and what it is for; for the researcher only."""

    id: str
    """Its place, from 1."""
    kind: TaskKind
    role: Role
    conditions: tuple[str, ...]
    """Two to be compared, left and right, or one to be rated."""
    prompt: int
    repeats: str = ""
    """Of a repeat: the id of the task that is asked again (a comparison with its sides changed)."""
    clip_ids: tuple[str, ...] = ()
    """Of the conditions."""


def williams(size: int) -> list[list[int]]:
    """Returns orders of 0 to size - 1, an even number of them, in which all is balanced.

    Each number stands equally often at each place and, but for size 1, directly after each other one: size orders if
    size is even, twice as many if it is odd (each with its mirror image).
    """
    if size == 1:
        return [[0], [0]]
    zigzag = [(step + 1) // 2 if step % 2 else (size - step // 2) % size for step in range(size)]
    rows = [[(place + shift) % size for place in zigzag] for shift in range(size)]
    return rows if size % 2 == 0 else rows + [row[::-1] for row in rows]


def pairs_of(num_conditions: int) -> list[tuple[int, int]]:
    """Returns all pairs of conditions, turned so that each condition is first in half of its pairs, or nearly so."""
    half = num_conditions / 2
    return [
        (first, second) if second - first < half or (second - first == half and first % 2 == 0) else (second, first)
        for first, second in itertools.combinations(range(num_conditions), 2)
    ]


def choose(limit: int, *key: object) -> int:
    """Returns a number from 0 to limit - 1 that follows from the key, on every machine and in every version."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") % limit


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
