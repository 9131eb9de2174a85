"""`ostinato listen` as a user types it."""

import csv
import io
import json

import pytest

from ostinato.configs.errors import ExitCode
from ostinato.launch.cli import main
from ostinato.listen.analysis.results_file import read_listening
from ostinato.listen.design.study import Study
from ostinato.listen.web.answer import parse_answer
from ostinato.listen.web.answers import Answers
from tests.listen.music import tunes_dataset
from tests.listen.studies import make_study


def _answer_all(study):
    answers = Answers.open(study)
    token, number = answers.begin()
    for task in study.tasks_of(number):
        said = {"choice": "a"} if task.kind == "compare" else {"coherence": 2, "style": 3, "emotion": 4}
        answers.record(token, task.id, parse_answer(task, said | {"comment": "", "played_ms": [500] * len(task.clips)}))
    answers.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    made = make_study(tmp_path_factory.mktemp("stage") / "study", clip_s=0.2)
    _answer_all(made)
    return made


def test_a_study_is_created(tmp_path, capsys):
    tunes_dataset(tmp_path / "data")
    options = ["--clip-seconds", "5", "--prompt-seconds", "2", "--prompts", "2", "--comparisons", "1", "--ratings", "1"]
    arguments = ["--real", str(tmp_path / "data"), "--model", "emi=rules", "--out", str(tmp_path / "study")]
    assert main(["listen", "create", *arguments, *options]) == ExitCode.FINISHED
    assert "conditions human, emi" in capsys.readouterr().out
    assert len(Study.open(tmp_path / "study").clips) == 2 * 2 + 2


def test_results_are_printed_and_written(study, tmp_path, capsys):
    assert (
        main(["listen", "results", str(study.folder), "--output", str(tmp_path), "--power", "0.9"]) == ExitCode.FINISHED
    )
    shown = capsys.readouterr().out
    for word in ("Comparisons", "Ratings", "Listeners", "Krippendorff", "with a chance of 90%", "results.html"):
        assert word in shown
    assert json.loads((tmp_path / "results.json").read_text())["needed"]["power"] == 0.9
    lines = csv.DictReader(io.StringIO((tmp_path / "answers.csv").read_text()))
    assert len(list(lines)) == study.num_tasks


def test_results_are_read_for_the_report_of_an_evaluation(study, tmp_path):
    assert main(["listen", "results", str(study.folder), "--output", str(tmp_path)]) == ExitCode.FINISHED
    listening = read_listening(tmp_path)
    assert "0 listeners count, of 1 who began" in listening.sentences[0]
    conditions = json.loads((tmp_path / "results.json").read_text())["conditions"]
    assert conditions == ["human", "lstm", "markov:3"]
    (ratings,) = (cells for title, (_, cells) in listening.tables.items() if title.startswith("Ratings"))
    assert [row[0] for row in ratings] == ["human music", "lstm", "Markov chain, order 3"]
    (tmp_path / "results.json").write_text("{")
    with pytest.raises(ValueError, match=r"results\.json: damaged, not JSON"):
        read_listening(tmp_path)


def test_a_damaged_answer_file_is_named_and_the_others_count(study, tmp_path, capsys):
    (tmp_path / "bad.json").write_text("{")
    arguments = ["results", str(study.folder), "--answers", str(tmp_path), "--output", str(tmp_path / "out")]
    assert main(["listen", *arguments]) == ExitCode.FINISHED
    assert "bad.json: damaged" in capsys.readouterr().out
    assert "bad.json: damaged" in (tmp_path / "out/results.html").read_text()


def test_mistakes_are_named_in_one_line(study, tmp_path, refused):
    assert "not a study" in refused("listen", "results", tmp_path)
    assert "not a finished dataset" in refused("listen", "create", "--real", tmp_path, "--out", tmp_path / "new")
    assert "effect 0.4" in refused("listen", "results", study.folder, "--effect", "0.4", "--output", tmp_path)
    empty = make_study(tmp_path / "empty", num_prompts=2, num_comparisons=1, num_ratings=1, clip_s=0.2)
    assert "nobody has answered yet" in refused("listen", "results", empty.folder)


def test_a_study_is_exported_without_its_secrets(study, tmp_path, capsys):
    assert main(["listen", "export", str(study.folder), str(tmp_path / "static")]) == ExitCode.FINISHED
    names = {path.name for path in (tmp_path / "static").rglob("*") if path.is_file()}
    assert "index.html" in names
    assert not {"conditions.json", "answers.sqlite"} & names
    texts = [path.read_text() for path in (tmp_path / "static").rglob("*") if path.suffix in (".html", ".json")]
    assert not any(word in text for text in texts for word in ("markov:3", "lstm", '"human"', "conditions.json"))
