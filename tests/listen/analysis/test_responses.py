import dataclasses

import numpy as np
import pytest

from ostinato.listen.analysis.responses import check, preferred, responses_of
from ostinato.listen.design.order import CHECK, HUMAN
from tests.listen.simulated import listener
from tests.listen.studies import make_study

WORTH = {HUMAN: 1.0, "lstm": 0.0, "markov:3": -1.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("responses") / "study")


@pytest.fixture
def heard(study):
    return listener(study, 3, WORTH, rng=np.random.default_rng(0))


def _changed(study, heard, role, kind, **change):
    """Returns the listener with another answer to the task of a role and kind."""
    (task,) = (task for task in study.plan_of(heard.number) if (task.role, task.kind) == (role, kind))
    answer = dataclasses.replace(heard.answers[task.id], **change)
    return dataclasses.replace(heard, answers=heard.answers | {task.id: answer})


def test_an_attentive_listener_counts(study, heard):
    assert check(study, heard).counts
    assert check(study, heard).repeats == 2


def test_who_fails_an_attention_check_does_not_count(study, heard):
    (task,) = (task for task in study.plan_of(3) if task.role == CHECK and task.kind == "compare")
    careless = _changed(study, heard, CHECK, "compare", choice="ab"[task.conditions.index(CHECK)])
    assert check(study, careless).preferred_check
    assert not check(study, careless).counts
    assert check(study, _changed(study, heard, CHECK, "compare", choice="none")).counts
    assert check(study, _changed(study, heard, CHECK, "rate", coherence=3)).counts
    assert not check(study, _changed(study, heard, CHECK, "rate", coherence=4)).counts


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
    assert len(responses_of(study, early)) == 4


def test_a_repeat_is_alike_if_the_other_side_is_chosen_and_excludes_nobody(study, heard):
    (repeat,) = (task for task in study.plan_of(3) if task.role == "repeat" and task.kind == "compare")
    other = {"a": "b", "b": "a", "none": "none"}[heard.answers[repeat.repeats].choice]
    alike = _changed(study, heard, "repeat", "compare", choice=other)
    unlike = _changed(study, heard, "repeat", "compare", choice="none" if other != "none" else "a")
    assert check(study, alike).repeats_alike == check(study, unlike).repeats_alike + 1
    assert check(study, unlike).counts


def test_what_was_preferred_is_a_condition(study, heard):
    for one in responses_of(study, heard):
        assert preferred(one) in ((*one.task.conditions, "") if one.task.kind == "compare" else ("",))
