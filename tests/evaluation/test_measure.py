"""What evaluate measures and writes of a run of a tiny network, without new music."""

import json
import re
import shutil

import numpy as np
import pytest

from ostinato.data.ngram_files import in_memory
from ostinato.evaluation.held_out import choose_pieces
from ostinato.evaluation.measure import Wanted, measure_run
from ostinato.evaluation.memorization.index import CopyIndex
from ostinato.evaluation.report import evaluate_run, piece_names
from ostinato.evaluation.samples import LONGEST_NOTES, choose_lengths
from ostinato.evaluation.summary import summary
from ostinato.evaluation.tables import (
    comparison_rows,
    distance_rows,
    field_rows,
    originality_rows,
    score_rows,
    style_rows,
)
from ostinato.train.fingerprint import json_sha256
from tests.evaluation.pieces import CODEC, tunes, windows, write_pieces
from tests.sample.runs import untrained, write_run


def _counts(dataset):
    source = dataset.source("train")
    return lambda: in_memory([source[i].steps for i in range(len(source))])


def _index(dataset, folder):
    return lambda: CopyIndex.of_dataset(dataset, folder / "copies")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """An untrained network as a run, with a loss that it says it had."""
    folder = write_run(tmp_path_factory.mktemp("measure") / "a <run>", untrained(codec=CODEC))
    line = {"step": 0, "split": "validation", "loss": 4.0, "accuracy": 0.0, "perplexity": 54.6}
    (folder / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    return folder


@pytest.fixture(scope="module")
def leaking(run, tmp_path_factory):
    """The folder and the report of a run on excerpts that were cut first and split afterwards."""
    folder = tmp_path_factory.mktemp("leaking")
    pieces = tunes(*range(8))
    dataset = write_pieces(
        folder / "data", train=windows(pieces, begin=4, step=4), test=windows(pieces, begin=7, step=12)
    )
    wanted = Wanted(
        runs=(run,), batch_size=4, max_train_pieces=5, num_samples=0, transpose_baselines=2,
        command="ostinato evaluate <all>",
    )  # fmt: skip
    counts, index = _counts(dataset), _index(dataset, folder)
    document = evaluate_run(wanted, dataset, folder / "report", counts=counts, index=index, audio=False)
    return folder / "report", document


def test_the_report_says_that_the_same_pieces_are_in_both_splits(leaking):
    folder, document = leaking
    (warning,) = json.loads((folder / "report.json").read_text())["warnings"]
    assert "of the held-out rows (test split): are the same pieces in both splits?" in warning
    assert f'role="alert">Warning: {warning}' in (folder / "report.html").read_text()
    assert document["leaks"]["test"]["accuracy"] > 0.9


def test_the_report_on_disk_is_the_one_that_is_returned(leaking):
    folder, document = leaking
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(document))
    assert document["splits"]["train"][0]["pieces"] == 5
    assert document["bootstrap"] == {"resamples": 1000, "level": 0.95, "seed": 0}


def test_the_report_says_how_it_was_made(leaking):
    _, document = leaking
    assert document["command"] == "ostinato evaluate <all>"
    assert document["options"] == {
        "checkpoint": "best", "batch_size": 4, "max_train_pieces": 5, "transpose_baselines": 2, "num_samples": 0,
        "seed": 0, "temperature": 1.0, "by_checkpoint": False, "old_dataset": None,
    }  # fmt: skip


def test_the_tables_hold_every_predictor(leaking):
    _, document = leaking
    names = [score["name"] for score in document["splits"]["test"]]
    for rows in (score_rows, field_rows):
        heading, cells = rows(document, "test")
        assert [row[0] for row in cells] == names
        assert all(len(row) == len(heading) for row in cells)
    assert [row[0] for row in comparison_rows(document, "test")[1]] == names[1:]
    assert style_rows(document, "test")[1] == [], "there is one style only"
    assert score_rows(document, "test")[1][0][1] == f"{document['splits']['test'][0]['nats_per_note']:.3f}"
    assert distance_rows(document)[1] == originality_rows(document)[1] == [], "nothing was written"


def test_the_page_takes_nothing_from_outside_and_nothing_from_names(leaking):
    page = (leaking[0] / "report.html").read_text()
    assert "<run>" not in page
    assert "a &lt;run&gt;" in page
    assert "ostinato evaluate &lt;all&gt;" in page
    assert "all keys up to 2 semitones higher and lower" in page
    assert all(link.startswith("data:") for link in re.findall(r'(?:\ssrc|href)="([^"#]+)', page))
    assert "\\x" not in page, "no character had to be escaped"


def test_a_dataset_without_a_held_out_split_is_a_line_in_the_report(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)))
    wanted = Wanted(runs=(run,), batch_size=4, num_samples=4)
    index = _index(dataset, tmp_path)
    document = evaluate_run(wanted, dataset, tmp_path, counts=_counts(dataset), index=index, audio=False)
    assert (document["statistics"], document["originality"]) == ([], [])
    (notice,) = document["notices"]
    assert "has no held-out split" in notice
    assert notice[1:] in (tmp_path / "report.html").read_text()
    assert summary(document)[-1][1:] == f"{notice[1:]}."
    assert "pieces that it has been trained on" in summary(document)[0]


def test_no_samples_are_neither_statistics_nor_originality(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), validation=tunes(6, 7))
    wanted = Wanted(runs=(run,), batch_size=4, num_samples=0)
    document, music = measure_run(wanted, dataset, counts=_counts(dataset), index=_index(dataset, tmp_path))
    assert (document["held_out"], document["statistics"], document["originality"]) == ("validation", [], [])
    assert (document["samples"], document["notices"], music.written) == (None, [], [])
    assert not (tmp_path / "copies").exists()


def test_a_fine_tuned_run_is_measured_before_and_after(run, tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7))
    tuned = shutil.copytree(run, tmp_path / "tuned")
    description = json.loads((tuned / "checkpoints/0/run/metadata").read_text())
    del description["sha256"]
    description["init_from"] = {"workdir": str(run), "step": 0, "params_sha256": description["params_sha256"]}
    description["sha256"] = json_sha256(description)
    (tuned / "checkpoints/0/run/metadata").write_text(json.dumps(description))
    wanted = Wanted(runs=(tuned,), batch_size=4, num_samples=0)
    index = _index(dataset, tmp_path)
    document = evaluate_run(wanted, dataset, tmp_path, counts=_counts(dataset), index=index, audio=False)
    new, old = document["transfer"]["corpora"]
    assert new["gain"]["nats_per_note_less"] == 0, "nothing was trained"
    assert "was imported" in old["missing"]
    page = (tmp_path / "report.html").read_text()
    assert "<h2>Fine-tuning</h2>" in page
    assert "the new corpus, data (test)" in page


def test_two_runs_of_the_same_name_are_told_apart_and_one_that_was_imported_has_no_paper_table(run, tmp_path):
    other = write_run(tmp_path / run.name, untrained(codec=CODEC, seed=2))
    dataset = write_pieces(tmp_path / "data", train=tunes(*range(6)), test=tunes(6, 7))
    wanted = Wanted(runs=(other, run), batch_size=4, num_samples=0)
    document, _ = measure_run(wanted, dataset, counts=_counts(dataset), index=_index(dataset, tmp_path))
    assert [one["name"] for one in document["runs"]] == [f"{other} (lstm)", f"{run} (lstm)"]
    assert document["comparisons"]["test"][0]["against"] == f"{run} (lstm)"
    assert document["paper_table"] == []


def test_pieces_are_called_by_their_files(tmp_path):
    dataset = write_pieces(tmp_path / "data", train=tunes(0))
    assert piece_names(dataset, {"a"}) == {}
    lines = [
        {"id": "a", "path": "/music/all.zip!old/tune.mid"},
        {"id": "b", "path": "x/y.mid"},
        {"id": "c", "path": "z"},
    ]
    (dataset.path / "pieces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert piece_names(dataset, {"a", "b"}) == {"a": "tune.mid", "b": "y.mid"}


def test_pieces_are_chosen_evenly():
    assert choose_pieces(4, 0).tolist() == [0, 1, 2, 3]
    assert choose_pieces(4, 9).tolist() == [0, 1, 2, 3]
    chosen = choose_pieces(1000, 7)
    assert len(np.unique(chosen)) == 7
    assert np.ptp(np.diff(chosen)) <= 1


def test_pieces_are_asked_to_be_as_long_as_real_ones():
    real = [10, 20, 30, 40]
    assert sorted(choose_lengths(real, 4, seed=0)) == real
    assert sorted(choose_lengths(real, 2, seed=0)) == [10, 30]
    assert choose_lengths(real, 8, seed=0) != sorted(choose_lengths(real, 8, seed=0)), "in no order"
    assert choose_lengths([5000, 0], 4, seed=0).count(LONGEST_NOTES) == 2
    assert min(choose_lengths([5000, 0], 4, seed=0)) == 1
