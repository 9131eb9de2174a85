"""Who hears what, when, and on which side: the balanced order of the tasks of each listener.

Over listeners, every two conditions are compared equally often, each of them equally often on the left; every condition
is rated equally often; each comes equally often at each place and after each other one (Williams, Experimental designs
balanced for the estimation of residual effects of treatments, 1949); prompts go round among them.
"""

import hashlib
import itertools
import math
from typing import Literal, NamedTuple

Role = Literal["test", "broken", "repeat"]
"""What a task is for: to learn something, or to see whether the listener listens."""

REPEAT_DISTANCE = 3
"""At least so many tasks lie between a task and its repeat."""


class Placed(NamedTuple):
    """One task of a listener, in numbers."""

    role: Role
    conditions: tuple[int, ...]
    """Two to be compared, left and right, or one to be rated; with role `broken` those of the test are not in it."""
    prompt: int
    """Which prompt; -1 with role `broken`."""
    repeats: int = -1
    """Which task of the same kind is asked once more, counted from 0; -1 for none."""


def williams(size: int) -> list[list[int]]:
    """Returns orders of 0 to size - 1, an even number of them, in which all is balanced.

    Each number stands equally often at each place and, but for size 1, directly after each other one: size orders if
    size is even, twice as many if it is odd (each with its mirror image).
    """
    if size == 1:
        return [[0], [0]]
    zigzag = [(step + 1) // 2 if step % 2 else size - step // 2 for step in range(size)]
    zigzag[0] = 0
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


def comparisons_of(
    number: int, *, num_conditions: int, num_prompts: int, num_comparisons: int, seed: int
) -> list[Placed]:
    """Returns the comparisons of a listener, with the broken clip in one of them and one asked again, sides changed.

    Args:
        number: of the listener, from 0.
        num_conditions: at least 2.
        num_prompts: of which each listener gets each at most once.
        num_comparisons: without those two checks.
        seed: another one gives other places of the checks.
    """
    pairs = pairs_of(num_conditions)
    rows = williams(len(pairs))
    offset = _offset(number, num_conditions, num_prompts)
    tests = []
    for place in range(num_comparisons):
        block, column = divmod(place, len(pairs))
        pair = pairs[rows[(number + block) % len(rows)][column]]
        is_turned = (number + number // len(rows) + block) % 2
        tests.append(Placed("test", pair[::-1] if is_turned else pair, (offset + place) % num_prompts))
    return _with_checks(tests, "compare", number, seed)


def ratings_of(
    number: int, *, num_conditions: int, num_prompts: int, num_comparisons: int, num_ratings: int, seed: int
) -> list[Placed]:
    """Returns the ratings of a listener, with the broken clip in one of them and one asked again.

    Their prompts are not those of the listener's comparisons. For the arguments see `comparisons_of`.
    """
    rows = williams(num_conditions)
    offset = _offset(number, num_conditions, num_prompts) + num_comparisons
    tests = []
    for place in range(num_ratings):
        block, column = divmod(place, num_conditions)
        condition = rows[(number + block) % len(rows)][column]
        tests.append(Placed("test", (condition,), (offset + place) % num_prompts))
    return _with_checks(tests, "rate", number, seed)


def _offset(number: int, num_conditions: int, num_prompts: int) -> int:
    """Returns the listener's first prompt: it moves on with each listener, and once more after each common period."""
    num_rows = math.lcm(len(williams(num_conditions)), len(williams(len(pairs_of(num_conditions)))))
    return number + number // math.lcm(num_rows, num_prompts)


def _with_checks(tests: list[Placed], kind: str, number: int, seed: int) -> list[Placed]:
    """Returns the tasks with the broken clip somewhere after the first, and at the end one of the early ones again."""
    repeated = choose(max(1, len(tests) - REPEAT_DISTANCE), seed, number, kind, "repeated")
    place = 1 + choose(max(1, len(tests) - 1), seed, number, kind, "broken")
    tasks = [*tests[:place], Placed("broken", (), -1), *tests[place:]]
    original = tests[repeated]
    again = Placed("repeat", original.conditions[::-1], original.prompt, repeated + (repeated >= place))
    return [*tasks, again]
