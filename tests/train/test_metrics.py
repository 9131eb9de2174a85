import io
import json
import logging
import sys

from ostinato.train.metrics import RunMetrics, open_metrics, progress_view
from tests.train.conftest import read_metrics


def write(workdir, steps, *, first_step):
    metrics = open_metrics(workdir, first_step=first_step)
    for step in steps:
        metrics.write(step, "train", {"loss": 1.0 / (1 + step)})
    metrics.close()


def test_every_record_is_one_line_that_is_there_at_once(tmp_path):
    metrics = RunMetrics(tmp_path, first_step=-1)
    metrics.write(0, "validation", {"loss": 2.5, "accuracy": 0.25})
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()  # before it is closed
    metrics.close()
    assert [json.loads(line) for line in lines] == [{"step": 0, "split": "validation", "loss": 2.5, "accuracy": 0.25}]


def test_resuming_drops_the_lines_of_later_steps(tmp_path):
    write(tmp_path, range(1, 8), first_step=-1)
    write(tmp_path, range(4, 10), first_step=3)
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == list(range(1, 10))


def test_a_run_that_starts_anew_keeps_nothing(tmp_path):
    write(tmp_path, range(8), first_step=-1)
    write(tmp_path, range(1, 3), first_step=-1)
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == [1, 2]


def test_a_line_that_was_cut_by_a_crash_is_dropped(tmp_path):
    write(tmp_path, range(1, 4), first_step=-1)
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "spl')
    write(tmp_path, [4], first_step=3)
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == [1, 2, 3, 4]


def test_tensorboard_gets_the_same_numbers(tmp_path):
    write(tmp_path, [7], first_step=-1)
    (events,) = (tmp_path / "tensorboard").iterdir()
    assert b"train/loss" in events.read_bytes()


def test_without_a_terminal_progress_is_a_log_line(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    with caplog.at_level(logging.INFO), progress_view(30, first_step=0) as view:
        view.advance(9)
        view.tell(10, "loss 1.25")
    assert caplog.messages == ["step 10 of 30: loss 1.25"]


def test_on_a_terminal_progress_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress_view(30, first_step=10) as view:
        view.tell(20, "loss 1.25")
        view.advance(21)
    assert "21/30" in terminal.getvalue()
    assert "loss 1.25" in terminal.getvalue()
