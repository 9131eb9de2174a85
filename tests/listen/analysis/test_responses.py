import dataclasses
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from ostinato.listen.analysis.responses import EARLIER_RULE, RULE, check, preferred, responses_of, rule_of
from ostinato.listen.design.order import CHECK, HUMAN
from ostinato.listen.design.study import Study
from ostinato.listen.web.answers import Answers
from tests.listen.simulated import listener
from tests.listen.studies import make_study

EARLIER = Path(__file__).parents[2] / "fixtures/version_0_1/study.zip"
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


def test_who_answers_faster_than_the_clips_last_does_not_count_however_long_the_pauses(study, heard):
    def taken(*seconds, number=3):
        """Takes so long for each second of a task's clips; of several paces each is that of so many tasks."""
        paces = itertools.cycle(seconds)
        tasks = study.plan_of(number)
        took_s = {task.id: next(paces) * len(task.clip_ids) * study.clip_s for task in tasks}
        return check(study, dataclasses.replace(heard, took_s=took_s))

    assert taken(1.0).counts
    assert taken(40.0).counts
    assert not taken(0.99).counts
    assert taken(0.99).too_fast
    assert taken(0.9, 1.2).counts  # some sooner, some later
    assert not taken(0.0, *[0.0] * 8, 10_000.0).counts  # one long pause
    assert not taken(-5.0).counts  # a clock that was set back
    assert not taken(0.4, 3.0).counts
    assert taken(0.6, 3.0).counts
    assert check(study, heard).counts  # a file has no clock


def test_a_study_of_the_earlier_format_keeps_the_rule_that_it_was_begun_with(tmp_path):
    shutil.unpack_archive(EARLIER, tmp_path)
    earlier = Study.open(tmp_path)
    answers = Answers.open(earlier)
    listeners = answers.listeners()
    answers.close()
    assert all(sum(one.took_s.values()) < 60 for one in listeners)  # simulated ones, who never heard a clip
    assert all(check(earlier, one).counts for one in listeners)
    assert "clock" in RULE
    assert rule_of(earlier) == EARLIER_RULE == RULE[: len(EARLIER_RULE)] != RULE


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
