import json

import pytest

from ostinato.evaluation.paper_table import PaperRow, paper_table


def _write(folder, *lines):
    names = ("step", "split", "loss", "accuracy", "perplexity")
    text = "".join(json.dumps(dict(zip(names, line, strict=True))) + "\n" for line in lines)
    (folder / "metrics.jsonl").write_text(text)


def test_first_and_last_measurements_make_the_table(tmp_path):
    _write(
        tmp_path, (0, "validation", 4.0, 0.0, 54.6), (1, "train", 4.2, 0.1, 66.7), (2, "train", 2.1, 0.4, 8.2),
        (2, "validation", 3.0, 0.3, 20.1),
    )  # fmt: skip
    assert paper_table(tmp_path) == [
        PaperRow("training loss", 4.2, 2.1),
        PaperRow("validation loss", 4.0, 3.0),
        PaperRow("validation accuracy", 0.0, 0.3),
        PaperRow("perplexity", 54.6, 20.1),
    ]
    training_loss, validation_loss, accuracy, perplexity = (row.improvement for row in paper_table(tmp_path))
    assert [training_loss, validation_loss, perplexity] == pytest.approx([0.5, 0.25, 1 - 20.1 / 54.6])
    assert accuracy is None, "nothing is a share of zero"


def test_skipped_steps_and_half_a_line_are_passed_over(tmp_path):
    nothing = (None, None, None)
    _write(
        tmp_path, (1, "train", *nothing), (2, "train", 3.0, 0.1, 20.1), (3, "train", 1.5, 0.4, 4.5),
        (4, "train", *nothing), (4, "validation", *nothing),
    )  # fmt: skip
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 5, "spl')
    assert paper_table(tmp_path) == [PaperRow("training loss", 3.0, 1.5)]


def test_a_run_without_metrics_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"metrics\.jsonl: missing; run 'ostinato train' first"):
        paper_table(tmp_path)
