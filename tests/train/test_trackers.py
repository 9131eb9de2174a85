"""Trackers of others hear what the files of a run say; real ones, offline. They skip where they are not installed."""

import json
import logging
import shutil
import struct
import sys

import pytest

from ostinato.configs.errors import ExitCode, UserError
from ostinato.configs.run_file import read_run_file
from ostinato.launch.cli import main
from ostinato.train.metrics import FILE, RunTracker, Tracker, read_lines
from ostinato.train.trackers import NAMES, _flat, _Together, open_trackers
from tests.test_compatibility import FIXTURES

SETTINGS = {"seed": 3, "model": {"cell": "lstm"}}


@pytest.mark.filterwarnings("default")  # those of the libraries
def test_mlflow_has_one_run_with_all_numbers_however_often_it_is_resumed(tmp_path, monkeypatch):
    pytest.importorskip("mlflow", reason="mlflow is not installed (extra mlflow)")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "store").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    for first_step, step in ((-1, 5), (5, 10)):
        tracker = open_trackers(tmp_path, first_step=first_step, names=["mlflow"], settings=SETTINGS)
        tracker.write(step, "train", {"loss": 1 / step, "grad_norm": float("nan")})
        tracker.event(step, "ended")
        tracker.close()
    client = MlflowClient()
    experiment = client.get_experiment_by_name("ostinato")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == json.loads((tmp_path / NAMES).read_text())["mlflow"]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"seed": "3", "model.cell": "lstm"}
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(metric.step, metric.value) for metric in history] == [(5, 0.2), (10, 0.1)]
    assert [line["step"] for line in read_lines(tmp_path / FILE)] == [5, 10]


@pytest.mark.filterwarnings("default")  # those of the libraries
def test_wandb_keeps_its_run_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed (extra wandb)")
    monkeypatch.setenv("WANDB_MODE", "offline")
    for first_step, step in ((-1, 5), (5, 10)):
        tracker = open_trackers(tmp_path, first_step=first_step, names=["wandb"], settings=SETTINGS)
        tracker.write(step, "train", {"loss": 1 / step})
        tracker.close()
    name = json.loads((tmp_path / NAMES).read_text())["wandb"]
    files = sorted(tmp_path.glob("wandb/offline-run-*/run-*.wandb"))
    assert [file.stem for file in files] == [f"run-{name}"] * 2
    heard = [line for file in files for line in history(file)]
    assert [(line["_step"], line["train/loss"]) for line in heard] == [(5, 0.2), (10, 0.1)]


def history(file):
    """What W&B wrote of each step: LevelDB's log of protocol buffers, after seven bytes of its own."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (room := 32768 - at % 32768) < 7:  # no record begins so near to the end of a block
            at += room
            continue
        size, kind = struct.unpack_from("<HB", data, at + 4)
        whole += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record, whole = Record.FromString(whole), b""
            if record.HasField("history"):
                yield {
                    item.nested_key[0] if item.nested_key else item.key: json.loads(item.value_json)
                    for item in record.history.item
                }


def test_one_that_fails_is_left_out_and_the_files_are_whole(tmp_path, caplog):
    class Failing(Tracker):
        def write(self, step, split, values):
            raise ConnectionError("no route to host")

    tracker = _Together(RunTracker(tmp_path, first_step=-1), {"mlflow": Failing()})
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):
            tracker.write(step, "train", {"loss": 0.5})
        tracker.close()
    assert caplog.messages == ["--track mlflow: it fails (no route to host) and hears no more of this run"]
    assert [line["step"] for line in read_lines(tmp_path / FILE)] == [1, 2]


def test_the_file_of_a_run_holds_its_trackers_and_options_override_them(tmp_path, capsys, monkeypatch):
    shutil.unpack_archive(FIXTURES / "run-score.zip", tmp_path / "run")
    (tmp_path / "run" / NAMES).write_text('{"mlflow": "0123"}')
    assert main(["runs", "config", str(tmp_path / "run")]) == ExitCode.FINISHED
    file = tmp_path / "run.toml"
    file.write_text(capsys.readouterr().out)
    assert read_run_file(file).options["track"] == ("mlflow",)
    again = ["train", "--config", str(file), "--workdir", str(tmp_path / "again")]
    for name in ("mlflow", "wandb"):
        monkeypatch.setitem(sys.modules, name, None)
    for words, name in (([], "mlflow"), (["--track", "wandb"], "wandb")):
        assert main([*again, *words]) == ExitCode.USAGE
        assert f"--track {name} needs" in capsys.readouterr().err


def test_settings_have_dotted_names():
    assert _flat(SETTINGS) == {"seed": 3, "model.cell": "lstm"}


def test_a_tracker_that_is_not_installed_or_cannot_be_opened_is_told_at_once(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    train = ["train", "--dataset", "a", "--workdir", str(tmp_path / "run"), "--track", "wandb", "debug"]
    assert main(train) == ExitCode.USAGE
    assert "--track wandb needs wandb: pip install 'ostinato[wandb]'" in capsys.readouterr().err
    with pytest.raises(UserError, match="--track wandb: cannot be opened"):
        open_trackers(tmp_path, first_step=-1, names=["wandb"])
