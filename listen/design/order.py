"""Who hears what, when, and on which side, so that nothing that is seen depends on whose clip is whose.

A sheet holds what one listener hears: pairs of clips and single clips, each of a beginning of its own, which is on no
other sheet. Among them are the attention checks, which look like all others. Which conditions stand where is drawn from
the study's secret when the study is made (`draw_sheets`) and written into its private file. Orders (`plan_tasks`) treat
all places of a sheet alike and never ask for a condition: whoever knows every order, and this source, knows which clips
are heard together, and of the conditions only how often each is on a sheet. A design that balances conditions between
sheets, or with one attention check for all, would let its orders tell: `earlier_order.py` is one.

Over listeners every place of a sheet is equally often at each position, after each other one (Williams, Experimental
designs balanced for the estimation of residual effects of treatments, 1949), and with either clip on the left.
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

_T = TypeVar("_T")

HUMAN = "human"
"""The condition that every study has: music by people."""

CHECK: Final = "broken"
"""The attention check, as files spell it: the condition of its clip, which no other may be called, and its role."""
TaskKind = Literal["compare", "rate"]
Role = Literal["test", "broken", "repeat"]
"""What a task is for: to learn something, or (an attention check, a repeat) to see whether the listener listens."""

REPEAT_DISTANCE = 3
"""The smallest number of tasks between a task and its repeat."""
CHECKS_EACH = 2
"""Beginnings of a sheet that are for its attention checks: one is compared, one rated."""


class Item(NamedTuple):
    """What is heard in a task of a sheet."""

    kind: TaskKind
    conditions: tuple[str, ...]
    """Two to be compared, in an order that says nothing, or one to be rated."""
    prompt: int
    """On no other item."""


class Sheet(NamedTuple):
    """What is heard in the tasks of a listener, as clips."""

    compare: tuple[tuple[str, ...], ...]
    rate: tuple[tuple[str, ...], ...]


class Asked(NamedTuple):
    """A task of a listener, without what it is for."""

    kind: TaskKind
    clip_ids: tuple[str, ...]
    """Two to be compared, left and right, or one to be rated."""
    repeats: int | None = None
    """Of a repeat: the place, from 0, of the task that is asked again (a comparison with its sides changed)."""


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


def choose(limit: int, *key: object) -> int:
    """Returns a number from 0 to limit - 1 that follows from the key, on every machine and in every version."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:8], "big") % limit


def shuffled(values: Iterable[_T], *key: object) -> list[_T]:
    """Returns values in an order that follows from the key, each equally likely to whoever does not know the key."""
    result = list(values)
    for last in range(len(result) - 1, 0, -1):
        other = choose(last + 1, *key, last)
        result[last], result[other] = result[other], result[last]
    return result


def draw_sheets(
    conditions: Sequence[str], *, num_sheets: int, num_comparisons: int, num_ratings: int, secret: str
) -> list[list[Item]]:
    """Returns what is heard in the tasks of each sheet, in an order that says nothing.

    A sheet has every pair of conditions equally often to be compared, and every condition equally often to be rated,
    if the numbers of comparisons and ratings allow it; else all sheets together have, or nearly so.

    Args:
        conditions: at least two names.
        num_sheets: how many.
        num_comparisons: of each sheet, without its check.
        num_ratings: of each sheet, without its check.
        secret: all follows from it.
    """
    num_prompts = num_sheets * (num_comparisons + num_ratings + CHECKS_EACH)
    prompts = iter(shuffled(range(num_prompts), secret, "prompts"))
    compared = _deal([*itertools.combinations(conditions, 2)], num_sheets, num_comparisons, secret, "compare")
    rated = _deal([(name,) for name in conditions], num_sheets, num_ratings, secret, "rate")
    kinds: tuple[tuple[TaskKind, list[list[tuple[str, ...]]], tuple[str, ...]], ...] = (
        ("compare", compared, (CHECK, HUMAN)),
        ("rate", rated, (CHECK,)),
    )
    return [
        [
            Item(kind, tuple(shuffled(heard, secret, number, kind, place)), next(prompts))
            for kind, tests, check in kinds
            for place, heard in enumerate(shuffled([*tests[number], check], secret, number, kind))
        ]
        for number in range(num_sheets)
    ]


def plan_tasks(number: int, sheets: Sequence[Sheet], secret: str) -> list[Asked]:
    """Returns the tasks of a listener, from 0, in their order: the comparisons, then the ratings.

    At the end of each kind an early task comes again, an attention check too.
    """
    turn, place = divmod(number, len(sheets))
    sheet = sheets[shuffled(range(len(sheets)), secret, "sheets", turn)[place]]
    tasks: list[Asked] = []
    kinds: tuple[tuple[TaskKind, tuple[tuple[str, ...], ...]], ...] = (("compare", sheet.compare), ("rate", sheet.rate))
    for kind, heard in kinds:
        rows = williams(len(heard))
        cycle, step = divmod(turn, len(rows))
        row = rows[shuffled(range(len(rows)), secret, kind, cycle // 2)[step]]  # in every second cycle the other sides
        first = len(tasks)
        tasks += [Asked(kind, heard[i][::-1] if (i + turn + cycle) % 2 else heard[i]) for i in row]
        repeated = first + choose(max(1, len(heard) - REPEAT_DISTANCE), secret, number, kind)
        tasks.append(Asked(kind, tasks[repeated].clip_ids[::-1], repeated))
    return tasks


def _deal(cards: Sequence[tuple[str, ...]], num_sheets: int, each: int, *key: object) -> list[list[tuple[str, ...]]]:
    """Returns as many cards for each sheet: all of them as often as possible, the rest of packs that go round."""
    whole, rest = divmod(each, len(cards))
    packs = -(-rest * num_sheets // len(cards))
    pack = [card for number in range(packs) for card in shuffled(cards, *key, number)]
    return [[*cards] * whole + pack[number * rest : (number + 1) * rest] for number in range(num_sheets)]
