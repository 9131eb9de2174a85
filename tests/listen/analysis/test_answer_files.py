import json

import numpy as np
import pytest

from ostinato.listen.analysis.answer_files import read_answer_files
from ostinato.listen.design.order import HUMAN
from ostinato.listen.web.answer import to_json
from tests.listen.simulated import TRAINING, listener
from tests.listen.studies import make_study

SESSION = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("files") / "study", clip_s=0.2)


@pytest.fixture
def document(study):
    """A whole session, as a browser writes it."""
    heard = listener(study, 7, {HUMAN: 1.0, "lstm": 0.0, "markov:3": -1.0}, rng=np.random.default_rng(0))
    return {
        "format": "ostinato-listen-1",
        "study": study.id,
        "session": SESSION,
        "number": 7,
        "begun": "2026-11-23T10:00:00Z",
        "finished": "2026-11-23T10:20:00.123Z",
        "training": to_json(TRAINING),
        "answers": [
            {"task": task.id, "kind": task.kind, **to_json(heard.answers[task.id])} for task in study.plan_of(7)
        ],
    }


def _write(path, document):
    path.write_text(json.dumps(document))
    return path


def _problem(study, path):
    listeners, (problem,) = read_answer_files(study, [path])
    assert listeners == []
    assert problem.startswith(f"{path}: ")
    assert "\n" not in problem
    return problem


def test_a_downloaded_file_is_read(study, document, tmp_path):
    (heard,), problems = read_answer_files(study, [_write(tmp_path / "a.json", document)])
    assert problems == []
    assert (heard.name, heard.number, heard.finished, heard.training) == (SESSION, 7, True, TRAINING)
    assert list(heard.answers) == [task.id for task in study.tasks_of(7)]


def test_a_file_twice_counts_once_and_a_later_one_replaces_an_earlier(study, document, tmp_path):
    early = document | {"finished": None, "answers": document["answers"][:3]}
    paths = [
        _write(tmp_path / name, content)
        for name, content in (("1.json", early), ("2.json", document), ("3.json", document), ("4.json", early))
    ]
    for order in (paths, paths[::-1]):
        (heard,), problems = read_answer_files(study, order)
        assert problems == []
        assert len(heard.answers) == study.num_tasks
    (heard,), _ = read_answer_files(study, [tmp_path])
    assert heard.finished


def test_two_sessions_are_two_listeners_and_a_file_that_contradicts_another_one_is_named(study, document, tmp_path):
    other = json.loads(json.dumps(document))
    other["answers"][0]["comment"] = "changed"
    documents = document, document | {"session": SESSION[::-1]}, other
    paths = [_write(tmp_path / f"{number}.json", one) for number, one in enumerate(documents)]
    (heard, second), (problem,) = read_answer_files(study, [tmp_path])
    assert heard.answers["1"].comment == second.answers["1"].comment == ""
    assert problem.startswith(f"{paths[2]}: other answers of the same session")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "not a file of answers"),
        ({"study": "ffffffffffffffff"}, "answers to another study"),
        ({"session": "7"}, "session must be"),
        ({"session": None}, "session must be"),
        ({"number": -1}, "number must be"),
        ({"number": True}, "number must be"),
        ({"number": 10**9}, "number must be"),
        ({"begun": "yesterday"}, "must be times"),
        ({"begun": None}, "begun or the list"),
        ({"answers": {}}, "begun or the list"),
        ({"answers": [3]}, "no task of its listener"),
        ({"answers": [{"task": ["1"], "kind": "compare"}]}, "no task of its listener"),
        ({"training": {"level": "king"}}, "an object with exactly"),
        ({"extra": 1}, "its keys must be"),
    ],
)
def test_a_damaged_or_foreign_file_gets_a_clear_line(study, document, tmp_path, change, said):
    assert said in _problem(study, _write(tmp_path / "a.json", document | change))


def test_a_damaged_answer_is_named_by_its_task(study, document, tmp_path):
    rating = next(answer for answer in document["answers"] if answer["kind"] == "rate")
    rating["style"] = 6
    assert f"task {rating['task']}: style must be" in _problem(study, _write(tmp_path / "a.json", document))


def test_what_is_no_json_of_ours_or_not_there_is_named(study, tmp_path):
    path = tmp_path / "a.json"
    assert "No such file" in _problem(study, path)
    for content in (b"", b"{", b"[]", b"\xff\xfe", b"null", b"[" * 100_000):
        path.write_bytes(content)
        _problem(study, path)
    path.write_bytes(b" " * 2_000_000)
    assert "at most 1,000,000 are read" in _problem(study, path)
