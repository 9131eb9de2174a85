import contextlib
import sqlite3
import subprocess
import sys
import threading

import pytest

from ostinato.configs.errors import UserError
from ostinato.listen.design.study import StudyError
from ostinato.listen.web.answer import AnswerError, Training, parse_answer
from ostinato.listen.web.answers import Answers
from tests.listen.studies import make_study

TRAINING = Training(practice="2", level="amateur", playback="device")
CHANGED = "cannot be changed"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("answers") / "study", num_prompts=4, num_comparisons=2, num_ratings=2)


@pytest.fixture
def answers(study, tmp_path):
    opened = Answers.open(study, tmp_path / "answers.sqlite")
    yield opened
    opened.close()


def _answer(task, *, choice="a"):
    said = {"choice": choice} if task.kind == "compare" else dict.fromkeys(("coherence", "style", "emotion"), 3)
    return parse_answer(task, said | {"comment": "", "played_ms": [500] * len(task.clips)})


def _answer_all(study, answers, token, number):
    for task in study.tasks_of(number):
        answers.record(token, task.id, _answer(task))


def test_a_whole_session_is_read_back(study, answers):
    token, number = answers.begin()
    assert answers.progress(token).next_task == study.tasks_of(number)[0]
    assert not answers.progress(token).has_training
    answers.train(token, TRAINING)
    for done, task in enumerate(study.tasks_of(number)):
        assert answers.counts()["finished"] == 0
        assert (answers.progress(token).answered, answers.progress(token).next_task) == (done, task)
        answers.record(token, task.id, _answer(task))
    assert answers.progress(token).has_training
    assert answers.progress(token).next_task is None
    (listener,) = answers.listeners()
    assert listener.training == TRAINING
    assert listener.finished
    assert listener.answers == {task.id: _answer(task) for task in study.tasks_of(0)}


def test_the_same_answer_again_is_fine_and_another_one_is_refused(study, answers):
    token, number = answers.begin()
    task = study.tasks_of(number)[0]
    answers.record(token, task.id, _answer(task))
    answers.record(token, task.id, _answer(task))
    with pytest.raises(AnswerError, match=CHANGED):
        answers.record(token, task.id, _answer(task, choice="b"))
    answers.train(token, TRAINING)
    answers.train(token, TRAINING)
    with pytest.raises(AnswerError, match=CHANGED):
        answers.train(token, Training(practice="0", level="listener", playback="device"))
    (listener,) = answers.listeners()
    assert listener.answers == {task.id: _answer(task)}


def test_tasks_are_answered_in_their_order_and_none_that_is_of_another_kind_or_nobodys(study, answers):
    token, number = answers.begin()
    _, second, *_, rating = study.tasks_of(number)
    with pytest.raises(AnswerError, match="task 1 comes before"):
        answers.record(token, second.id, _answer(second))
    for task_id in ("1", "0", "99", "1 OR 1=1", ""):
        with pytest.raises(AnswerError, match="no such task"):
            answers.record(token, task_id, _answer(rating))
    assert not answers.listeners()[0].answers


def test_nobody_answers_without_a_token_and_the_file_holds_none(study, answers, tmp_path):
    token, number = answers.begin()
    task = study.tasks_of(number)[0]
    for wrong in ("", str(number), token[:-1], token + "x", "\ud800"):
        with pytest.raises(AnswerError, match="not known"):
            answers.record(wrong, task.id, _answer(task))
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert token.encode() not in held
    assert (tmp_path / "answers.sqlite").stat().st_mode & 0o077 == 0


def test_who_withdraws_leaves_nothing_but_a_number_that_nobody_else_gets(study, answers):
    token, number = answers.begin()
    answers.train(token, TRAINING)
    _answer_all(study, answers, token, number)
    answers.withdraw(token)
    answers.refuse()
    answers.refuse()
    assert answers.listeners() == []
    assert answers.counts() == {"begun": 1, "finished": 0, "refused": 2, "withdrawn": 1}
    with pytest.raises(AnswerError, match="not known"):
        answers.progress(token)
    assert answers.begin()[1] == number + 1 == 1


def test_many_threads_lose_nothing(study, answers):
    problems = []

    def listen():
        try:
            session = answers.begin()
            _answer_all(study, answers, *session)
            _answer_all(study, answers, *session)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=listen) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    listeners = answers.listeners()
    assert [listener.number for listener in listeners] == list(range(12))
    assert all(len(listener.answers) == study.num_tasks and listener.finished for listener in listeners)


def test_an_answer_is_on_disk_when_record_returns(study, answers, tmp_path):
    assert answers._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert answers._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
    code = f"""
import os
from pathlib import Path
from ostinato.listen.web.answer import parse_answer
from ostinato.listen.web.answers import Answers
from ostinato.listen.design.study import Study
study = Study.open({str(study.folder)!r})
answers = Answers.open(study, Path({str(tmp_path / "answers.sqlite")!r}))
token, number = answers.begin()
task = study.tasks_of(number)[0]
answers.record(token, task.id, parse_answer(task, {{"choice": "a", "comment": "", "played_ms": [500, 500]}}))
os.kill(os.getpid(), 9)
"""
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert died.returncode == -9, died.stderr
    assert answers.listeners()[0].answers == {"1": _answer(study.tasks_of(0)[0])}


def test_answers_of_another_study_and_files_that_hold_none_are_refused(study, answers, tmp_path):
    other = make_study(tmp_path / "other", num_prompts=2, num_comparisons=1, num_ratings=1)
    with pytest.raises(StudyError, match="holds answers of study"):
        Answers.open(other, tmp_path / "answers.sqlite")
    (tmp_path / "text").write_text("no database at all, but long enough to be one" * 40)
    with pytest.raises(StudyError, match="cannot be used"):
        Answers.open(study, tmp_path / "text")


def test_a_writer_that_fails_changes_nothing(study, answers):
    token, _ = answers.begin()

    def fail_half_way():
        with answers._transaction("IMMEDIATE") as connection:
            connection.execute("UPDATE sessions SET training = '{}'")
            connection.execute("INSERT INTO answers VALUES (99, '1', '{}', '')")

    with pytest.raises(sqlite3.IntegrityError):
        fail_half_way()
    assert not answers.progress(token).has_training


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE answers SET answer = '[1]'",
        "UPDATE answers SET answer = 'no JSON'",
        f"UPDATE answers SET answer = '{'[' * 100_000}'",
        "UPDATE answers SET answered = 'yesterday'",
        "UPDATE sessions SET begun = '2026-01-01T00:00:00'",  # of no time zone
        "UPDATE sessions SET training = '5'",
        "UPDATE sessions SET number = -5",
        "CREATE TRIGGER told AFTER INSERT ON about BEGIN SELECT load_extension('evil'); END",
    ],
)
def test_a_file_of_answers_that_a_stranger_wrote_is_named(study, tmp_path, change):
    path = tmp_path / "answers.sqlite"
    answers = Answers.open(study, path)
    token, number = answers.begin()
    answers.train(token, TRAINING)
    _answer_all(study, answers, token, number)
    answers.close()
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute(change)
        database.commit()
    with pytest.raises(UserError, match=r"answers\.sqlite: ") as caught:
        Answers.open(study, path).listeners()
    assert "\n" not in str(caught.value)
