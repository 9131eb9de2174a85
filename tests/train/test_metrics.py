import io
import json
import logging
import math
import sys

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from ostinato.configs.errors import UserError
from ostinato.data import tfrecord
from ostinato.train.metrics import ProgressView, RunTracker, read_lines
from ostinato.train.trackers import open_trackers
from tests.train.conftest import read_metrics


def write(workdir, steps, *, first_step):
    tracker = open_trackers(workdir, first_step=first_step)
    for step in steps:
        tracker.write(step, "train", {"loss": 1.0 / (1 + step)})
    tracker.close()


def test_every_record_is_one_line_that_is_there_at_once_and_what_is_no_number_is_null(tmp_path):
    tracker = RunTracker(tmp_path, first_step=-1)
    tracker.write(0, "validation", {"loss": 2.5, "accuracy": math.nan, "grad_norm": math.inf})
    (line,) = (tmp_path / "metrics.jsonl").read_text().splitlines()  # before it is closed
    tracker.close()
    expected = {"step": 0, "split": "validation", "loss": 2.5, "accuracy": None, "grad_norm": None}
    assert json.loads(line, parse_constant=pytest.fail) == expected


@pytest.mark.parametrize(
    ("first", "second", "first_step", "left"),
    [(range(1, 8), range(4, 10), 3, range(1, 10)), (range(8), range(1, 3), -1, range(1, 3))],
)
def test_a_resumed_run_drops_the_lines_of_later_steps_and_a_new_one_all(tmp_path, first, second, first_step, left):
    write(tmp_path, first, first_step=-1)
    write(tmp_path, second, first_step=first_step)
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == list(left)


def test_a_line_that_was_cut_by_a_crash_is_dropped_and_damage_is_named(tmp_path):
    write(tmp_path, range(1, 4), first_step=-1)
    for left in ('{"step": 4, "spl', '{"step": 4, "spl\0\0\0', '{"st\0\0\0": "train"}\n', '\0"}\n{"step": 4'):
        whole = (tmp_path / "metrics.jsonl").read_text()
        (tmp_path / "metrics.jsonl").write_text(whole + left)
        assert [record["step"] for record in read_lines(tmp_path / "metrics.jsonl")] == [1, 2, 3]
        (tmp_path / "metrics.jsonl").write_text(whole)
    (tmp_path / "metrics.jsonl").write_text(whole + left)
    write(tmp_path, [4], first_step=3)
    assert [record["step"] for record in read_metrics(tmp_path, "train")] == [1, 2, 3, 4]
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + bytes(30) + b"\n")
    assert [line["step"] for line in read_lines(tmp_path / "metrics.jsonl")] == [1]
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step": 1}\n' + bytes(30) + b'\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: damaged, it holds zeros"):
        read_lines(tmp_path / "metrics.jsonl")
    (tmp_path / "metrics.jsonl").write_text("{{\n")
    with pytest.raises(UserError, match=r"metrics\.jsonl, line 1: damaged, not JSON"):
        read_lines(tmp_path / "metrics.jsonl")
    for wrong in ("7", "[1]", "null", "{}", '{"step": "1"}', '{"step": 1e99}', '{"step": 1, "loss": []}'):
        (tmp_path / "metrics.jsonl").write_text(f'{{"step": 1}}\n{wrong}\n')
        with pytest.raises(UserError, match=r"metrics\.jsonl, line 2: damaged \(.*; take the line out"):
            read_lines(tmp_path / "metrics.jsonl")


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


def test_events_of_later_steps_stay_when_a_run_is_rolled_back(tmp_path):
    for step in (5, 3):
        tracker = RunTracker(tmp_path, first_step=step)
        tracker.event(step, "resumed", reason="a")
        tracker.close()
    with (tmp_path / "events.jsonl").open("a") as file:
        file.write('{"step": 9, "eve')
    RunTracker(tmp_path, first_step=0).close()
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    found = [(event["step"], event["event"], event["reason"]) for event in events]
    assert found == [(5, "resumed", "a"), (3, "resumed", "a")]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stderr", [io.StringIO(), Terminal()])
def test_progress_is_a_bar_on_a_terminal_and_a_log_line_elsewhere(stderr, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stderr", stderr)
    with caplog.at_level(logging.INFO):
        view = ProgressView(30, first_step=10)
        view.tell(20, "loss 1.25")
        view.advance(21)
        view.close()
    assert caplog.messages == ([] if stderr.isatty() else ["step 20 of 30: loss 1.25"])
    assert ("21/30" in stderr.getvalue()) == ("loss 1.25" in stderr.getvalue()) == stderr.isatty()
