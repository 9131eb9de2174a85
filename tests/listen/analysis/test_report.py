import csv
import dataclasses
import io
import json
import re

import numpy as np
import pytest

from ostinato.listen.analysis import report
from ostinato.listen.analysis.results import summarise
from ostinato.listen.analysis.verdict import verdict
from ostinato.listen.design.order import HUMAN
from ostinato.listen.web.answer import SCALES
from tests.listen.simulated import listener
from tests.listen.studies import make_study

WORTH = {HUMAN: 1.0, "<b>lstm": 0.0}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("report") / "study", conditions=tuple(WORTH), clip_s=0.2)


@pytest.fixture(scope="module")
def listeners(study):
    rng = np.random.default_rng(0)
    return [listener(study, number, WORTH, rng=rng) for number in range(12)]


@pytest.fixture(scope="module")
def results(study, listeners):
    return summarise(study, listeners)


def test_every_table_has_as_many_cells_as_headings_and_the_strongest_stands_first(results):
    tables = [*report.finding_tables(results).values(), report.listener_rows(results)]
    for heading, cells in tables:
        assert cells
        assert all(len(row) == len(heading) and all(isinstance(cell, str) for cell in row) for row in cells)
    heading, cells = tables[0]
    assert heading == ["condition", "strength", "95%"]
    assert [row[0] for row in cells] == ["human music", "<b>lstm"]
    assert cells[0][1].startswith("+")


def test_the_csv_holds_every_answer(study, listeners):
    lines = list(csv.DictReader(io.StringIO(report.answers_csv(study, listeners))))
    assert len(lines) == 12 * study.num_tasks
    for line in lines:
        task = next(task for task in study.plan_of(int(line["number"])) if task.id == line["task"])
        answer = listeners[int(line["listener"])].answers[task.id]
        assert (line["left"], line["left_clip"], line["role"]) == (task.conditions[0], task.clip_ids[0], task.role)
        if task.kind == "rate":
            points = [answer.coherence, answer.style, answer.emotion]
            assert [int(line[scale]) for scale in ("coherence", "style", "emotion")] == points
            assert line["right"] == line["choice"] == ""
        else:
            assert line["choice"] == answer.choice
            assert line["preferred"] == ("" if answer.choice == "none" else task.conditions["ab".index(answer.choice)])


def test_the_csv_says_who_was_too_fast_and_by_how_much(study, listeners):
    took_s = dict.fromkeys(listeners[0].answers, 0.05)
    lines = csv.DictReader(
        io.StringIO(report.answers_csv(study, [dataclasses.replace(listeners[0], took_s=took_s), listeners[1]]))
    )
    seen = {(line["listener"], line["counts"], line["too_fast"], line["took_s"]) for line in lines}
    assert seen == {("0", "0", "1", "0.05"), ("1", "1", "0", "")}


def test_a_comment_is_no_formula_for_a_spreadsheet(study, listeners):
    answers = {"1": dataclasses.replace(listeners[0].answers["1"], comment='=HYPERLINK("x"),\n"')}
    (line,) = csv.DictReader(
        io.StringIO(report.answers_csv(study, [dataclasses.replace(listeners[0], answers=answers)]))
    )
    assert line["comment"] == '\'=HYPERLINK("x"),\n"'


def test_the_files_are_written_and_the_page_shows_names_as_text(study, listeners, results, tmp_path):
    report.write_results(tmp_path / "out", study, results, listeners, ["<x>.json: damaged"])
    assert json.loads((tmp_path / "out/results.json").read_text()) == results
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"results.json", "results.html", "answers.csv"}
    page = (tmp_path / "out/results.html").read_text()
    assert "&lt;b&gt;lstm" in page
    assert "<b>" not in page
    assert "&lt;x&gt;.json: damaged" in page
    assert "http" not in re.sub(r'xmlns(:xlink)?="[^"]*"', "", page)
    assert "attention check" in page
    assert "Strength of each condition with 95% intervals: human music +" in page
    assert page.count("<svg") == 1 + len(SCALES)
    (line,) = verdict(results)[:1]
    assert page.index(line.replace("<b>", "&lt;b&gt;").replace(" < ", " &lt; ")) < page.index("<h2>")
