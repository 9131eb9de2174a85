import itertools
import json

import numpy as np
import pytest

from ostinato.train.checkpoint import load_params
from ostinato.train.loop import NonFiniteLossError, parts_for, train
from ostinato.train.profiling import steps_to_profile
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show
from tests.train.conftest import TRAIN_LENGTHS, make_dataset, read_metrics, replace


def after(num_steps):
    """Returns a `should_stop` that says so after some steps."""
    asked = itertools.count(1)
    return lambda: next(asked) >= num_steps


def repeatable(workdir):
    """Returns the lines of metrics.jsonl without what the clock says."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in record.items() if not name.endswith("_s")} for record in records]


@pytest.fixture(scope="module")
def straight(dataset, config, tmp_path_factory):
    """A run of ten steps without interruption."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    return workdir, train(config, dataset, workdir)


def test_a_run_measures_the_loss_before_between_and_after(straight):
    workdir, result = straight
    losses = {record["step"]: record["loss"] for record in read_metrics(workdir, "validation")}
    assert list(losses) == [0, 5, 10]
    assert (result.initial_loss, result.last_loss) == (losses[0], losses[10])
    assert result.best_loss == min(losses[5], losses[10]) == losses[result.best_step]
    assert (result.step, result.finished) == (10, True)
    assert [record["step"] for record in read_metrics(workdir, "train")] == list(range(1, 11))
    assert abs(losses[0] - np.log(sum(TRAIN_LENGTHS) + 3)) < 0.1  # knows nothing: near the uniform distribution


def test_the_loss_falls(straight):
    """On the same validation pieces: the loss of a training line is of that one batch, and batches differ by more."""
    result = straight[1]
    assert result.last_loss < result.initial_loss - 0.03


def test_five_and_five_steps_with_a_restart_are_ten_bit_for_bit(straight, dataset, config, tmp_path):
    first = train(config, dataset, tmp_path, should_stop=after(5))
    assert (first.step, first.finished) == (5, False)
    assert not show(tmp_path)["finished"]
    second = train(config, dataset, tmp_path)
    assert second == straight[1]
    assert show(tmp_path)["params_sha256"] == show(straight[0])["params_sha256"]
    assert repeatable(tmp_path) == repeatable(straight[0])


def test_a_restart_in_the_middle_of_everything_repeats_what_was_lost(straight, dataset, config, tmp_path):
    def crash_after_8(asked=itertools.count(1)):  # noqa: B008
        if next(asked) == 8:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path, should_stop=crash_after_8)
    assert read_metrics(tmp_path, "train")[-1]["step"] == 7
    assert show(tmp_path)["step"] == 5
    train(config, dataset, tmp_path)
    assert show(tmp_path)["params_sha256"] == show(straight[0])["params_sha256"]
    assert repeatable(tmp_path) == repeatable(straight[0])


def test_a_finished_run_can_be_made_longer(straight, dataset, config, tmp_path):
    train(replace(config, num_steps=5), dataset, tmp_path)
    assert show(tmp_path)["finished"]
    result = train(config, dataset, tmp_path)
    assert result == straight[1]
    assert show(tmp_path)["params_sha256"] == show(straight[0])["params_sha256"]


def test_calling_a_finished_run_again_changes_nothing(straight, dataset, config):
    workdir, result = straight
    before = repeatable(workdir), show(workdir)
    assert train(config, dataset, workdir) == result
    assert (repeatable(workdir), show(workdir)) == before


def test_another_seed_is_another_model(straight, dataset, config, tmp_path):
    train(replace(config, seed=1, num_steps=1), dataset, tmp_path)
    assert repeatable(tmp_path)[1]["loss"] != repeatable(straight[0])[1]["loss"]


def test_show_says_what_scripts_ask(straight):
    workdir, result = straight
    shown = json.loads(json.dumps(show(workdir)))
    assert (shown["step"], shown["finished"]) == (10, True)
    assert (shown["best_step"], shown["best_validation_loss"]) == (result.best_step, result.best_loss)
    assert len(shown["params_sha256"]) == 64
    assert load_params(workdir, "latest").params_sha256 == shown["params_sha256"]
    assert shown["config"]["data"]["batch_size"] == 4


def test_a_run_with_other_settings_is_refused_with_what_differs(straight, dataset, config, tmp_path):
    other = replace(config, model={"hidden_size": 32, "cell": "gru"}, data={"order": "windows"}, seed=3)
    with pytest.raises(ValueError) as caught:
        train(other, dataset, straight[0])
    message = str(caught.value)
    assert message.splitlines()[1:] == [
        '  data.order: "streams" in the checkpoint, "windows" now',
        '  model.cell: "lstm" in the checkpoint, "gru" now',
        "  model.hidden_size: 16 in the checkpoint, 32 now",
        "  seed: 0 in the checkpoint, 3 now",
    ]
    assert str(straight[0]) in message
    with pytest.raises(ValueError, match="dataset: ") as caught:
        train(config, make_dataset(tmp_path / "other", (30, 40)), straight[0])
    assert "codec.vocabulary" in str(caught.value)


@pytest.mark.slow
def test_training_stops_when_validation_no_longer_gains_and_the_count_survives_a_restart(dataset, config, tmp_path):
    config = replace(
        config, optimizer={"learning_rate": 3.0}, num_steps=100, evaluate_every=2, patience=3, keep_checkpoints=1
    )
    whole = train(config, dataset, tmp_path / "whole")
    assert whole.finished
    assert whole.step < 100
    losses = {record["step"]: record["loss"] for record in read_metrics(tmp_path / "whole", "validation")}
    assert whole.step == whole.best_step + 2 * 3
    assert all(loss > whole.best_loss for step, loss in losses.items() if step > whole.best_step)

    # Stop between the first and the last of the three measurements without gain.
    train(config, dataset, tmp_path / "parts", should_stop=after(whole.best_step + 3))
    assert train(config, dataset, tmp_path / "parts") == whole

    # The best stays although only the newest one is kept, and although a restart came between.
    for workdir in (tmp_path / "whole", tmp_path / "parts"):
        assert sorted(int(path.name) for path in (workdir / "checkpoints").iterdir()) == [whole.best_step, whole.step]
        assert load_params(workdir).step == whole.best_step
        assert load_params(workdir, "latest").step == whole.step


def test_checkpoint_every_adds_checkpoints_between_validations(dataset, config, tmp_path):
    config = replace(config, num_steps=8, evaluate_every=8, checkpoint_every=3, keep_checkpoints=9)
    train(config, dataset, tmp_path)
    assert sorted(int(path.name) for path in (tmp_path / "checkpoints").iterdir()) == [3, 6, 8]
    assert show(tmp_path)["best_step"] == 8  # the only one with a measured loss


def test_without_validation_the_latest_is_the_best(config, tmp_path):
    dataset = make_dataset(tmp_path / "set", TRAIN_LENGTHS)
    result = train(replace(config, num_steps=4, evaluate_every=2), dataset, tmp_path / "run")
    assert result == (4, True, None, None, None, None)
    assert load_params(tmp_path / "run").step == 4


def test_a_loss_that_is_not_a_number_ends_the_run_and_is_not_saved(dataset, config, tmp_path):
    optimizer = {"learning_rate": 1e38, "warmup_steps": 0}
    config = replace(config, optimizer=optimizer, evaluate_every=2, log_every=2, rollbacks=0)
    with pytest.raises(NonFiniteLossError, match=r"step 1: the .* is inf; .* lower learning rate than 1e\+38"):
        train(config, dataset, tmp_path)
    with pytest.raises(CheckpointError, match="no finished checkpoint"):
        show(tmp_path)


def test_windows_train_and_resume_too(dataset, config, tmp_path):
    config = replace(config, data={"order": "windows"}, num_steps=4, evaluate_every=2)
    train(config, dataset, tmp_path / "straight")
    train(config, dataset, tmp_path / "parts", should_stop=after(3))
    train(config, dataset, tmp_path / "parts")
    assert repeatable(tmp_path / "parts") == repeatable(tmp_path / "straight")
    assert show(tmp_path / "parts")["params_sha256"] == show(tmp_path / "straight")["params_sha256"]


def test_each_line_of_the_log_tells_what_is_asked_for(straight, dataset):
    line = read_metrics(straight[0], "train")[-1]
    names = [field.name for field in dataset.codec.fields]
    assert {f"{kind}/{name}" for name in names for kind in ("loss", "accuracy")} <= set(line)
    assert {"loss", "accuracy", "grad_norm", "param_norm", "learning_rate"} <= set(line)
    assert {"notes_per_s", "rows_per_s", "steps_per_s", "input_wait_s", "skipped"} <= set(line)
    assert 0 <= line["input_wait_s"] < 1 / line["steps_per_s"]
    assert line["notes_per_s"] < line["rows_per_s"]  # a piece's first and last row are no notes


def test_what_was_changed_and_the_events_are_kept(dataset, config, tmp_path):
    train(config, dataset, tmp_path, should_stop=after(5))
    train(replace(config, num_steps=7, optimizer={"clip_norm": 2.0}), dataset, tmp_path)
    shown = show(tmp_path)
    changes = {"num_steps": [10, 7], "optimizer.clip_norm": [1.0, 2.0]}
    assert shown["history"] == [{"step": 5, "event": "resumed", "changes": changes}]
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [(event["step"], event["event"]) for event in events] == [
        (0, "began"),
        (5, "stopped"),
        (5, "went on"),
        (7, "finished"),
    ]
    assert events[2]["history"] == shown["history"][0]


def test_fewer_devices_compute_a_batch_in_more_parts():
    assert parts_for(64, 1, 8, num_devices=8) == 1
    assert parts_for(64, 1, 8, num_devices=4) == 2
    assert parts_for(64, 1, 8, num_devices=1) == 8
    assert parts_for(64, 4, 8, num_devices=8) == 4  # as the user wishes
    assert parts_for(64, 1, 8, num_devices=3) == 4  # three devices do not divide it: two of them take 8 rows each
    assert parts_for(12, 1, 5, num_devices=2) == 2
    assert parts_for(7, 1, 3, num_devices=2) == 7


@pytest.mark.slow
def test_parts_instead_of_devices_change_nothing_but_the_order_of_adding_up(straight, dataset, config, tmp_path):
    still = {"dropout": 0.0}
    train(replace(config, model=still), dataset, tmp_path / "whole")
    train(replace(config, model=still), dataset, tmp_path / "parts", should_stop=after(5))
    train(replace(config, model=still, accumulate=2), dataset, tmp_path / "parts")
    whole, parts = ([line["loss"] for line in read_metrics(tmp_path / name, "train")] for name in ("whole", "parts"))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_a_trace_of_chosen_steps_is_written(dataset, config, tmp_path):
    train(replace(config, num_steps=3), dataset, tmp_path, profile=range(2, 3))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_steps_of_a_trace_are_a_number_or_two():
    assert list(steps_to_profile("7")) == [7]
    assert steps_to_profile("100-105") == range(100, 106)
    assert not steps_to_profile("")
    for text in ("0", "5-3", "a", "1-2-3"):
        with pytest.raises(ValueError, match="must be a step, or the first and the last"):
            steps_to_profile(text)
