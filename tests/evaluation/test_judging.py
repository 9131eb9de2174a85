"""The classifier two-sample test as a part of the report."""

import json

import pytest

from ostinato.evaluation import tables
from ostinato.evaluation.held_out import one_of_each_group
from ostinato.evaluation.plots import judge_plot
from ostinato.evaluation.summary import summary
from ostinato.train.judge.file import read_judge
from tests.evaluation.pieces import CODEC, evaluated, tunes, write_pieces
from tests.sample.runs import untrained, write_run

TEST = {
    "accuracy": 0.75, "accuracy_interval": [0.6, 0.9], "p_value": 0.001, "real_right": 0.7, "written_right": 0.8,
    "learned": 128, "tested": 20,
}  # fmt: skip


def test_of_related_pieces_the_first_one_is_chosen(tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(0))
    assert one_of_each_group(dataset, ["a", "b", "b"]) == [0, 1], "nothing says what is related"
    lines = [{"id": "a", "group": "x", "split": "train"}, {"id": "b", "group": "x"}, {"id": "c"}]
    (dataset.path / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert one_of_each_group(dataset, ["b", "a", "c", "d"]) == [0, 2, 3]


def test_the_table_shows_real_music_against_itself_last():
    judged = {"writers": [{"name": "lstm", **TEST}], "control": TEST | {"accuracy": 0.5}}
    report = {"two_sample": judged, "runs": [{"name": "lstm"}]}
    heading, cells = tables.judge_rows(report)
    assert [row[0] for row in cells] == ["lstm", tables.HUMAN]
    assert all(len(row) == len(heading) for row in cells)
    assert cells[0][1:4] == ["75.0%", "60%\N{EN DASH}90%", "0.001"]
    assert "lstm 0.75; held-out music 0.50" in judge_plot(report)
    assert tables.judge_rows({"two_sample": None})[1] == []
    assert len(tables.judge_rows({"two_sample": judged | {"control": None}})[1]) == 1


@pytest.mark.slow
def test_every_writer_is_judged_or_a_line_says_why_not(tmp_path):
    run = write_run(tmp_path / "run", untrained(codec=CODEC))
    train, test = tunes(*range(40), num_notes=80), tunes(*range(40, 60), num_notes=80)
    dataset = write_pieces(tmp_path / "data", train=train, test=test)
    found = evaluated(dataset, tmp_path, run, num_samples=20)
    judged = found["two_sample"]
    assert judged["excerpt_notes"] == 64
    low, high = judged["control"]["accuracy_interval"]
    assert low < 0.5 < high
    named = [one["name"] for one in judged["writers"]]
    assert "rules" in named
    assert all(any(name in line for line in judged["notices"]) for name in {"lstm", "markov:3"} - set(named))
    for one in judged["writers"]:
        assert one["learned"] >= 16
        assert 0 <= one["accuracy_interval"][0] <= one["accuracy"] <= one["accuracy_interval"][1] <= 1
        assert any(one["bars"])
    assert set(judged["held_out"]) == {f"test-{number}" for number in range(20)}
    assert read_judge(tmp_path / "judge.safetensors").num_notes == 64
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Classifier two-sample test</h2>" in page
    assert any(line.startswith(f"A judge that has learned to tell pieces by {named[0]}") for line in summary(found))
