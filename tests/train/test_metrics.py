import io
import json
import logging
import math
import sys

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from ostinato.data import tfrecord
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
    write(tmp_path, [8], first_step=7)
    first, second = sorted((tmp_path / "tensorboard").iterdir())  # TensorBoard reads them in this order
    for path, step in ((first, 7), (second, 8)):
        buffer, offset, events = memoryview(path.read_bytes()), 0, []
        while offset < len(buffer):
            record = tfrecord.read_at(buffer, offset)
            events.append(event_pb2.Event.FromString(record))
            offset += tfrecord.HEADER_BYTES + len(record) + tfrecord.FOOTER_BYTES
        version, start, scalars = events
        assert version.file_version == "brain.Event:2"
        assert (start.session_log.status, start.step) == (event_pb2.SessionLog.START, 0 if step == 7 else 8)
        (value,) = scalars.summary.value
        assert (scalars.step, value.tag, value.simple_value) == (step, "train/loss", np.float32(1 / (1 + step)))


def test_what_is_not_a_number_is_null(tmp_path):
    metrics = RunMetrics(tmp_path, first_step=-1)
    metrics.write(3, "train", {"loss": math.nan, "grad_norm": math.inf, "accuracy": 0.5})
    metrics.close()
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(line, parse_constant=pytest.fail) == {
        "step": 3,
        "split": "train",
        "loss": None,
        "grad_norm": None,
        "accuracy": 0.5,
    }


def test_events_of_later_steps_stay_when_a_run_goes_back(tmp_path):
    for step in (5, 3):
        metrics = RunMetrics(tmp_path, first_step=step)
        metrics.event(step, "went on", reason="a")
        metrics.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step": 9, "eve')
    RunMetrics(tmp_path, first_step=0).close()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["step"], event["event"], event["reason"]) for event in events] == [
        (5, "went on", "a"),
        (3, "went on", "a"),
    ]


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
