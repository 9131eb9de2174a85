import dataclasses

import numpy as np
import pytest

from ostinato.listen.analysis import responses as told
from ostinato.listen.analysis.responses import check, preferred, told_by
from ostinato.listen.design.plan import BROKEN, HUMAN
from tests.listen.simulated import listener
from tests.listen.studies import make_study

WORTH = {HUMAN: 1.0, "lstm": 0.0, "markov:3": -1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("told") / "study")


@pytest.fixture
def heard(study):
    return listener(study, 3, WORTH, rng=np.random.default_rng(0))


def _changed(study, heard, role, kind, **change):
    """Returns the listener with another answer to the task of a role and kind."""
    (task,) = (task for task in study.plan_of(heard.number) if (task.role, task.kind) == (role, kind))
    answer = dataclasses.replace(heard.answers[task.id], **change)
    return dataclasses.replace(heard, answers=heard.answers | {task.id: answer}), task


def test_an_attentive_listener_counts(study, heard):
    assert check(study, heard).counts
    assert check(study, heard).repeats == 2


def test_who_prefers_the_broken_clip_does_not_count(study, heard):
    (task,) = (task for task in study.plan_of(3) if task.role == "broken" and task.kind == "compare")
    side = "ab"[task.conditions.index(BROKEN)]
    careless, _ = _changed(study, heard, "broken", "compare", choice=side)
    assert check(study, careless).chose_broken
    assert not check(study, careless).counts
    undecided, _ = _changed(study, heard, "broken", "compare", choice="none")
    assert check(study, undecided).counts


def test_who_finds_the_broken_clip_coherent_does_not_count(study, heard):
    assert check(study, _changed(study, heard, "broken", "rate", coherence=3)[0]).counts
    assert not check(study, _changed(study, heard, "broken", "rate", coherence=4)[0]).counts


def test_who_does_not_listen_does_not_count(study, heard):
    def played(num_tasks, played_ms):
        answers = {
            task: dataclasses.replace(answer, played_ms=(played_ms,) * len(answer.played_ms))
            if int(task) <= num_tasks
            else answer
            for task, answer in heard.answers.items()
        }
        return check(study, dataclasses.replace(heard, answers=answers))

    # Clips last half a second, and ten tasks are asked.
    assert played(10, 250).counts
    assert played(2, 249).counts
    assert not played(3, 249).counts


def test_who_stops_early_does_not_count(study, heard):
    early = dataclasses.replace(heard, answers={task: heard.answers[task] for task in ("1", "2", "3", "4")})
    assert not check(study, early).finished
    assert len(told_by(study, early)) == 4


def test_a_repeat_is_alike_if_the_other_side_is_chosen_and_excludes_nobody(study, heard):
    plan = {task.id: task for task in study.plan_of(3)}
    (repeat,) = (task for task in plan.values() if task.role == "repeat" and task.kind == "compare")
    chosen = heard.answers[repeat.repeats].choice
    other = {"a": "b", "b": "a", "none": "none"}[chosen]
    alike, _ = _changed(study, heard, "repeat", "compare", choice=other)
    unlike, _ = _changed(study, heard, "repeat", "compare", choice="none" if other != "none" else "a")
    assert check(study, alike).repeats_alike == check(study, unlike).repeats_alike + 1
    assert check(study, unlike).counts


def test_neither_checks_nor_repeats_tell_of_the_music(study, heard):
    rows = told.tests_of(told_by(study, heard))
    assert len(rows) == 6
    assert {row.task.role for row in rows} == {"test"}


def test_what_was_preferred_is_a_condition(study, heard):
    for row in told_by(study, heard):
        assert preferred(row) in (*row.task.conditions, "")
        if row.task.kind == "rate":
            assert preferred(row) == ""
