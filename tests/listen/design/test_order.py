import itertools
from collections import Counter

import pytest

from ostinato.listen.design.order import choose, comparisons_of, pairs_of, ratings_of, williams


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


def _tests(tasks):
    return [task for task in tasks if task.role == "test"]


@pytest.mark.parametrize(("num_conditions", "num_comparisons"), [(2, 6), (3, 6), (4, 6), (5, 10), (4, 8)])
def test_over_listeners_every_pair_is_compared_equally_often_from_both_sides(num_conditions, num_comparisons):
    shape = {"num_conditions": num_conditions, "num_prompts": 20, "num_comparisons": num_comparisons, "seed": 1}
    num_pairs = len(pairs_of(num_conditions))
    listeners = 2 * len(williams(num_pairs))
    seen = Counter(task.conditions for number in range(listeners) for task in _tests(comparisons_of(number, **shape)))
    assert len(seen) == 2 * num_pairs
    assert len(set(seen.values())) == 1


def test_over_listeners_a_pair_stands_at_every_place_with_either_side_on_the_left():
    shape = {"num_conditions": 4, "num_prompts": 20, "num_comparisons": 6, "seed": 1}
    seen = Counter(
        (place, task.conditions)
        for number in range(12)
        for place, task in enumerate(_tests(comparisons_of(number, **shape)))
    )
    assert len(seen) == 6 * 12
    assert set(seen.values()) == {1}


def test_in_the_long_run_every_pair_meets_every_prompt_equally_often():
    shape = {"num_conditions": 3, "num_prompts": 12, "num_comparisons": 6, "seed": 1}
    seen = Counter(
        (frozenset(task.conditions), task.prompt)
        for number in range(12 * 12)
        for task in _tests(comparisons_of(number, **shape))
    )
    assert len(seen) == 3 * 12
    assert len(set(seen.values())) == 1


def test_every_condition_is_rated_equally_often_at_every_place():
    shape = {"num_conditions": 4, "num_prompts": 20, "num_comparisons": 6, "num_ratings": 8, "seed": 1}
    seen = Counter(
        (place, task.conditions)
        for number in range(4)
        for place, task in enumerate(_tests(ratings_of(number, **shape)))
    )
    assert len(seen) == 8 * 4
    assert set(seen.values()) == {1}


def test_a_listener_hears_no_prompt_in_two_tasks():
    shape = {"num_conditions": 4, "num_prompts": 14, "num_comparisons": 6, "seed": 1}
    for number in range(200):
        tasks = _tests(comparisons_of(number, **shape)) + _tests(ratings_of(number, num_ratings=8, **shape))
        assert sorted(task.prompt for task in tasks) == list(range(14))


def test_the_checks_are_a_broken_clip_and_an_early_task_again_with_its_sides_changed():
    shape = {"num_conditions": 3, "num_prompts": 12, "num_comparisons": 6, "seed": 1}
    places = set()
    for number in range(60):
        tasks = comparisons_of(number, **shape)
        (broken,) = (place for place, task in enumerate(tasks) if task.role == "broken")
        places.add(broken)
        again = tasks[-1]
        original = tasks[again.repeats]
        assert (again.role, original.role) == ("repeat", "test")
        assert again.conditions == original.conditions[::-1]
        assert again.prompt == original.prompt
        assert len(tasks) - 1 - again.repeats >= 3
    assert places == {1, 2, 3, 4, 5}


def test_what_is_chosen_is_the_same_on_every_machine():
    assert [choose(1000, 7, number, "broken") for number in range(4)] == [935, 184, 864, 88]
