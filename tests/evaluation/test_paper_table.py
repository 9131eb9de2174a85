import json

import pytest

from ostinato.evaluation.paper_table import PaperRow, paper_table


def test_first_and_last_measurements_make_the_table(tmp_path):
    lines = [
        {"step": 0, "split": "validation", "loss": 4.0, "accuracy": 0.0, "perplexity": 54.6},
        {"step": 1, "split": "train", "loss": 4.2, "accuracy": 0.1, "perplexity": 66.7},
        {"step": 2, "split": "train", "loss": 2.1, "accuracy": 0.4, "perplexity": 8.2},
        {"step": 2, "split": "validation", "loss": 3.0, "accuracy": 0.3, "perplexity": 20.1},
    ]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert paper_table(tmp_path) == [
        PaperRow("training loss", 4.2, 2.1),
        PaperRow("validation loss", 4.0, 3.0),
        PaperRow("validation accuracy", 0.0, 0.3),
        PaperRow("perplexity", 54.6, 20.1),
    ]
    training_loss, validation_loss, accuracy, perplexity = (row.improvement for row in paper_table(tmp_path))
    assert [training_loss, validation_loss, perplexity] == pytest.approx([0.5, 0.25, 1 - 20.1 / 54.6])
    assert accuracy is None, "nothing is a share of zero"


def test_a_run_without_metrics_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl: missing; run 'ostinato train' first"):
        paper_table(tmp_path)
