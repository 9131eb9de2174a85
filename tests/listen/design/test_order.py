import itertools
import math
from collections import Counter

import pytest

from ostinato.listen.design.order import CHECK, HUMAN, Sheet, choose, draw_sheets, plan_tasks, shuffled, williams

NAMES = (HUMAN, "a", "b", "c", "d", "e")
SECRET = "5ec7e7"


def _draw(num_conditions, *, num_sheets=4, num_comparisons=6, num_ratings=8, secret=SECRET):
    return draw_sheets(
        NAMES[:num_conditions],
        num_sheets=num_sheets,
        num_comparisons=num_comparisons,
        num_ratings=num_ratings,
        secret=secret,
    )


def _sheets(num_sheets=3, num_compared=5, num_rated=4):
    """Returns sheets of made-up clips."""
    return [
        Sheet(
            tuple((f"{sheet}c{item}x", f"{sheet}c{item}y") for item in range(num_compared)),
            tuple((f"{sheet}r{item}",) for item in range(num_rated)),
        )
        for sheet in range(num_sheets)
    ]


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 10])
def test_in_williams_orders_all_places_and_neighbours_are_equally_frequent(size):
    rows = williams(size)
    assert len(rows) % 2 == 0
    assert all(sorted(row) == list(range(size)) for row in rows)
    places = Counter((place, value) for row in rows for place, value in enumerate(row))
    assert set(places.values()) == {len(rows) // size}
    neighbours = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(neighbours) == size * (size - 1)
    assert len(set(neighbours.values())) == 1


@pytest.mark.parametrize(("num_conditions", "num_comparisons", "num_ratings"), [(2, 6, 6), (3, 6, 6), (4, 6, 8)])
def test_each_sheet_compares_every_pair_and_rates_every_condition_equally_often(
    num_conditions, num_comparisons, num_ratings
):
    for sheet in _draw(num_conditions, num_comparisons=num_comparisons, num_ratings=num_ratings):
        seen = Counter((item.kind, *sorted(item.conditions)) for item in sheet)
        assert seen.pop(("compare", CHECK, HUMAN)) == seen.pop(("rate", CHECK)) == 1
        assert len(seen) == math.comb(num_conditions, 2) + num_conditions
        assert len({count for (kind, *_), count in seen.items() if kind == "compare"}) == 1
        assert len({count for (kind, *_), count in seen.items() if kind == "rate"}) == 1


@pytest.mark.parametrize(("num_conditions", "num_comparisons", "num_ratings"), [(4, 3, 2), (5, 4, 7), (6, 12, 6)])
def test_all_sheets_together_are_balanced_where_one_cannot_be(num_conditions, num_comparisons, num_ratings):
    sheets = _draw(num_conditions, num_sheets=5, num_comparisons=num_comparisons, num_ratings=num_ratings)
    seen = Counter((item.kind, *sorted(item.conditions)) for sheet in sheets for item in sheet)
    for kind, cards in (("compare", 2), ("rate", 1)):
        counts = [seen[kind, *sorted(heard)] for heard in itertools.combinations(NAMES[:num_conditions], cards)]
        assert max(counts) - min(counts) <= 1


def test_each_beginning_is_used_once_so_that_no_clip_is_on_two_sheets():
    sheets = _draw(4)
    prompts = [item.prompt for sheet in sheets for item in sheet]
    assert sorted(prompts) == list(range(4 * (6 + 8 + 2)))
    assert prompts != sorted(prompts)


def test_every_place_of_a_sheet_holds_every_condition_equally_often_whatever_is_known_of_other_sheets():
    """The proof that orders tell nothing rests on it; each mean must lie within five standard errors."""
    studies = 3000
    held: Counter[tuple[object, ...]] = Counter()
    same: Counter[tuple[object, ...]] = Counter()
    for number in range(studies):
        first, second = _draw(3, num_sheets=2, num_comparisons=3, num_ratings=3, secret=f"secret {number}")
        for place, (item, other) in enumerate(zip(first, second, strict=True)):
            for side, names in enumerate(zip(item.conditions, other.conditions, strict=True)):
                held[place, side, names[0]] += 1
                same[place, side] += names[0] == names[1]
    shares = {
        "compare": {HUMAN: 3 / 8, "a": 2 / 8, "b": 2 / 8, CHECK: 1 / 8},
        "rate": dict.fromkeys((HUMAN, "a", "b", CHECK), 1 / 4),
    }
    for place, kind in enumerate(["compare"] * 4 + ["rate"] * 4):
        for side in range(2 if kind == "compare" else 1):
            for name, share in shares[kind].items():
                _assert_share(held[place, side, name], studies, share)
            _assert_share(same[place, side], studies, sum(share**2 for share in shares[kind].values()))


def _assert_share(count, number, share):
    assert abs(count - number * share) < 5 * math.sqrt(number * share * (1 - share))


def test_over_listeners_every_item_stands_at_every_place_with_either_clip_on_the_left():
    sheets = _sheets()
    for kind, first, size, cycle in (("compare", 0, 5, 10), ("rate", 6, 4, 4)):
        turns = range(2 * cycle * len(sheets))
        seen = Counter(
            (place, asked.clip_ids)
            for number in turns
            for place, asked in enumerate(plan_tasks(number, sheets, SECRET)[first : first + size])
        )
        assert len(seen) == len(sheets) * size * size * (2 if kind == "compare" else 1)
        assert len(set(seen.values())) == 1
        assert {
            asked.kind for number in turns for asked in plan_tasks(number, sheets, SECRET)[first : first + size]
        } == {kind}


def test_as_many_listeners_hear_each_sheet_in_an_order_that_follows_from_the_secret():
    sheets = _sheets()

    def heard(secret):
        return [plan_tasks(number, sheets, secret)[0].clip_ids[0][0] for number in range(60)]

    for turn in range(20):
        assert sorted(heard(SECRET)[3 * turn : 3 * turn + 3]) == ["0", "1", "2"]
    assert heard(SECRET) == heard(SECRET) != heard("another")
    assert heard(SECRET) != ["0", "1", "2"] * 20


def test_an_early_task_comes_again_with_its_sides_changed_and_any_may_be_the_one():
    sheets = _sheets(num_compared=7)
    again = set()
    for number in range(200):
        tasks = plan_tasks(number, sheets, SECRET)
        assert [place for place, asked in enumerate(tasks) if asked.repeats is not None] == [7, 12]
        for place in (7, 12):
            asked = tasks[place]
            assert asked.clip_ids == tasks[asked.repeats].clip_ids[::-1]
            assert (asked.kind, place - asked.repeats > 3) == (tasks[asked.repeats].kind, True)
        again.add((*sorted(tasks[7].clip_ids),))
    assert len(again) == 3 * 7


def test_a_small_study_has_tasks_too():
    tasks = plan_tasks(0, _sheets(num_sheets=1, num_compared=2, num_rated=2), SECRET)
    assert [asked.repeats for asked in tasks] == [None, None, 0, None, None, 3]


def test_what_is_chosen_is_the_same_on_every_machine():
    assert [choose(1000, 7, number, "broken") for number in range(4)] == [935, 184, 864, 88]
    assert shuffled("abcdef", "key") == shuffled("abcdef", "key") != list("abcdef")
    assert Counter("".join(shuffled("abc", number)) for number in range(6000)).keys() == {
        "".join(letters) for letters in itertools.permutations("abc")
    }
