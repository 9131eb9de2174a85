import json

import numpy as np
import pytest

from ostinato.evaluation import measure, report
from ostinato.evaluation.measure import choose_pieces
from ostinato.evaluation.report import comparison_rows, evaluate_run, field_rows, score_rows, style_rows
from ostinato.music.ngram_files import in_memory
from tests.evaluation.pieces import tunes, untrained, windows, write_pieces


@pytest.fixture(scope="module")
def leaking(tmp_path_factory):
    """The report of a run on excerpts that were cut first and split afterwards."""
    folder = tmp_path_factory.mktemp("measure")
    pieces = tunes(*range(8))
    dataset = write_pieces(
        folder / "data", train=windows(pieces, begin=4, step=4), test=windows(pieces, begin=7, step=12)
    )
    (folder / "run").mkdir()
    lines = [{"step": 0, "split": "validation", "loss": 4.0, "accuracy": 0.0, "perplexity": 54.6}]
    (folder / "run/metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    source = dataset.source("train")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "load_params", lambda path, which: untrained())  # a run without a training
        document = evaluate_run(
            folder / "run",
            dataset,
            folder / "report",
            counts=lambda: in_memory([source[i].steps for i in range(len(source))]),
            checkpoint="best",
            batch_size=4,
            max_train_pieces=5,
        )
    return folder / "report", document


def test_the_report_says_that_the_same_pieces_are_in_both_splits(leaking):
    folder, document = leaking
    (warning,) = json.loads((folder / "report.json").read_text())["warnings"]
    assert "of the held-out rows (test split): are the same pieces in both splits?" in warning
    assert warning in (folder / "report.html").read_text()
    assert document["leaks"]["test"]["accuracy"] > 0.9


def test_the_report_on_disk_is_the_one_that_is_returned(leaking):
    folder, document = leaking
    assert json.loads((folder / "report.json").read_text()) == json.loads(json.dumps(document))
    assert document["splits"]["train"][0]["pieces"] == 5
    assert document["bootstrap"] == {"resamples": 1000, "level": 0.95, "seed": 0}


def test_the_tables_hold_every_predictor(leaking):
    _, document = leaking
    names = [score["name"] for score in document["splits"]["test"]]
    for rows in (score_rows, field_rows):
        heading, cells = rows(document, "test")
        assert [row[0] for row in cells] == names
        assert all(len(row) == len(heading) for row in cells)
    assert [row[0] for row in comparison_rows(document, "test")[1]] == names[1:]
    assert style_rows(document, "test")[1] == [], "there is one style only"
    assert report.score_rows(document, "test")[1][0][1] == f"{document['splits']['test'][0]['nats_per_note']:.3f}"


def test_pieces_are_chosen_evenly():
    assert choose_pieces(4, 0).tolist() == [0, 1, 2, 3]
    assert choose_pieces(4, 9).tolist() == [0, 1, 2, 3]
    chosen = choose_pieces(1000, 7)
    assert len(np.unique(chosen)) == 7
    assert np.ptp(np.diff(chosen)) <= 1
