from collections import Counter

import pytest

from ostinato.listen.design.earlier_order import Shape, pairs_of, plan_tasks
from ostinato.listen.design.order import CHECK, HUMAN, williams


def _shape(num_conditions, *, num_prompts=20, num_comparisons=6, num_ratings=8):
    return Shape("abcdef"[:num_conditions], num_prompts, num_comparisons, num_ratings, seed=1)


def _tests(kind, number, shape):
    return [task for task in plan_tasks(number, shape) if (task.kind, task.role) == (kind, "test")]


@pytest.mark.parametrize(("num_conditions", "num_comparisons"), [(2, 6), (3, 6), (4, 6), (5, 10), (4, 8)])
def test_over_listeners_every_pair_is_compared_equally_often_from_both_sides(num_conditions, num_comparisons):
    shape = _shape(num_conditions, num_comparisons=num_comparisons)
    num_pairs = len(pairs_of(num_conditions))
    listeners = range(2 * len(williams(num_pairs)))
    seen = Counter(task.conditions for number in listeners for task in _tests("compare", number, shape))
    assert len(seen) == 2 * num_pairs
    assert len(set(seen.values())) == 1


def test_every_pair_stands_at_every_place_with_either_side_on_the_left_and_every_condition_is_rated_there():
    for kind, listeners, places in (("compare", range(12), 6 * 12), ("rate", range(4), 8 * 4)):
        seen = Counter(
            (place, task.conditions)
            for number in listeners
            for place, task in enumerate(_tests(kind, number, _shape(4)))
        )
        assert len(seen) == places
        assert set(seen.values()) == {1}


def test_in_the_long_run_every_pair_meets_every_prompt_equally_often():
    shape = _shape(3, num_prompts=12)
    seen = Counter(
        (frozenset(task.conditions), task.prompt)
        for number in range(12 * 12)
        for task in _tests("compare", number, shape)
    )
    assert len(seen) == 3 * 12
    assert len(set(seen.values())) == 1


def test_a_listener_hears_no_prompt_in_two_tasks():
    for number in range(200):
        shape = _shape(4, num_prompts=14)
        tasks = _tests("compare", number, shape) + _tests("rate", number, shape)
        assert sorted(task.prompt for task in tasks) == list(range(14))


def test_the_checks_are_a_clip_without_sense_and_an_early_task_again_with_its_sides_changed():
    places = set()
    for number in range(60):
        tasks = plan_tasks(number, _shape(3))
        assert [task.id for task in tasks] == [str(place + 1) for place in range(6 + 2 + 8 + 2)]
        checks = [task for task in tasks if task.role == CHECK]
        assert [sorted(task.conditions) for task in checks] == [[CHECK, HUMAN], [CHECK]]
        places.add(checks[0].id)
        for again in (tasks[7], tasks[17]):
            original = next(task for task in tasks if task.id == again.repeats)
            assert (again.role, original.role, again.kind) == ("repeat", "test", original.kind)
            assert again.conditions == original.conditions[::-1]
            assert again.prompt == original.prompt
            assert int(again.id) - int(original.id) > 3
    assert places == {"2", "3", "4", "5", "6"}
