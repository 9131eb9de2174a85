import json

import numpy as np
import pytest

from ostinato.configs.errors import ExitCode, UserError
from ostinato.data.dataset_writer import write_dataset
from ostinato.data.records import Dataset
from ostinato.train.checkpoint import load_params
from ostinato.train.loop import train
from ostinato.train.profiling import steps_to_profile
from ostinato.train.rollback import NonFiniteLossError
from ostinato.train.run_metadata import CheckpointError
from ostinato.train.runs import show
from tests.train.conftest import TRAIN_LENGTHS, after, make_dataset, read_metrics, replace


def outcome(workdir):
    """Returns the digest of the parameters, and metrics.jsonl without what the clock says."""
    records = map(json.loads, (workdir / "metrics.jsonl").read_text().splitlines())
    metrics = [{name: value for name, value in record.items() if not name.endswith("_s")} for record in records]
    return show(workdir)["params_sha256"], metrics


def saved_steps(workdir):
    return sorted(int(path.name) for path in (workdir / "checkpoints").iterdir())


@pytest.fixture(scope="module")
def straight(dataset, config, tmp_path_factory):
    """A run of ten steps without interruption."""
    workdir = tmp_path_factory.mktemp("runs") / "straight"
    return workdir, train(config, dataset, workdir)


def test_a_run_measures_the_loss_before_between_and_after_and_it_falls(straight):
    workdir, result = straight
    losses = {record["step"]: record["loss"] for record in read_metrics(workdir, "validation")}
    assert list(losses) == [0, 5, 10]
    assert (result.initial_loss, result.last_loss) == (losses[0], losses[10])
    assert result.best_loss == min(losses[5], losses[10]) == losses[result.best_step]
    assert (result.step, result.finished) == (10, True)
    assert [record["step"] for record in read_metrics(workdir, "train")] == list(range(1, 11))
    assert abs(losses[0] - np.log(sum(TRAIN_LENGTHS) + 3)) < 0.1  # knows nothing: near the uniform distribution
    assert losses[10] < losses[0] - 0.03


def test_each_line_of_the_log_tells_what_is_asked_for(straight, dataset):
    line = read_metrics(straight[0], "train")[-1]
    names = [field.name for field in dataset.codec.fields]
    assert {f"{kind}/{name}" for name in names for kind in ("loss", "accuracy")} <= set(line)
    assert {"loss", "accuracy", "grad_norm", "param_norm", "learning_rate", "skipped"} <= set(line)
    assert {"notes_per_s", "rows_per_s", "steps_per_s"} <= set(line)
    assert 0 <= line["input_wait_s"] < 1 / line["steps_per_s"]
    assert line["notes_per_s"] < line["rows_per_s"]  # a piece's first and last row are no notes


def test_show_says_what_scripts_ask(straight):
    workdir, result = straight
    shown = json.loads(json.dumps(show(workdir)))
    assert (shown["step"], shown["finished"]) == (10, True)
    assert (shown["best_step"], shown["best_validation_loss"]) == (result.best_step, result.best_loss)
    assert load_params(workdir, "latest").params_sha256 == shown["params_sha256"]
    assert shown["config"]["data"]["batch_size"] == 4


def test_five_and_five_steps_with_a_restart_are_ten_bit_for_bit(straight, dataset, config, tmp_path):
    first = train(config, dataset, tmp_path, should_stop=after(5))
    assert (first.step, first.finished, show(tmp_path)["finished"]) == (5, False, False)
    assert train(config, dataset, tmp_path) == straight[1]
    assert outcome(tmp_path) == outcome(straight[0])


def test_a_restart_in_the_middle_of_everything_repeats_what_was_lost(straight, dataset, config, tmp_path):
    is_eighth = after(8)

    def crash_after_8():
        if is_eighth():
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        train(config, dataset, tmp_path, should_stop=crash_after_8)
    assert read_metrics(tmp_path, "train")[-1]["step"] == 7
    assert show(tmp_path)["step"] == 5
    train(config, dataset, tmp_path)
    assert outcome(tmp_path) == outcome(straight[0])


def test_a_finished_run_can_be_made_longer_and_else_stays_as_it_is(straight, dataset, config, tmp_path):
    train(replace(config, num_steps=5), dataset, tmp_path)
    assert show(tmp_path)["finished"]
    for _ in range(2):
        assert train(config, dataset, tmp_path) == straight[1]
        assert outcome(tmp_path) == outcome(straight[0])


def test_another_seed_is_another_model(straight, dataset, config, tmp_path):
    train(replace(config, seed=1, num_steps=1), dataset, tmp_path)
    assert outcome(tmp_path)[1][1]["loss"] != outcome(straight[0])[1][1]["loss"]


def test_windows_train_and_resume_too(dataset, config, tmp_path):
    config = replace(config, data={"order": "windows"}, num_steps=4, evaluate_every=2)
    train(config, dataset, tmp_path / "straight")
    train(config, dataset, tmp_path / "parts", should_stop=after(3))
    train(config, dataset, tmp_path / "parts")
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "straight")


def test_a_run_with_other_settings_is_refused_with_what_differs(straight, dataset, config, tmp_path):
    other = replace(config, model={"hidden_size": 32, "cell": "gru"}, data={"order": "windows"}, seed=3)
    with pytest.raises(CheckpointError) as caught:
        train(other, dataset, straight[0])
    assert str(straight[0]) in str(caught.value)
    assert str(caught.value).splitlines()[1:] == [
        '  data.order: "streams" in the checkpoint, "windows" now',
        '  model.cell: "lstm" in the checkpoint, "gru" now',
        "  model.hidden_size: 16 in the checkpoint, 32 now",
        "  seed: 0 in the checkpoint, 3 now",
    ]
    with pytest.raises(CheckpointError, match=r"codec\.vocabulary(.|\n)*dataset: "):
        train(config, make_dataset(tmp_path / "other", (30, 40)), straight[0])


@pytest.mark.slow
def test_training_stops_when_validation_no_longer_gains_and_the_count_survives_a_restart(dataset, config, tmp_path):
    config = replace(
        config, optimizer={"learning_rate": 3.0}, num_steps=100, evaluate_every=2, patience=3, keep_checkpoints=1
    )
    whole = train(config, dataset, tmp_path / "whole")
    assert whole.finished
    assert whole.step == whole.best_step + 2 * 3 < whole.num_steps == 100
    losses = {record["step"]: record["loss"] for record in read_metrics(tmp_path / "whole", "validation")}
    assert all(loss > whole.best_loss for step, loss in losses.items() if step > whole.best_step)
    # Stop between the first and the last of the three measurements without gain.
    train(config, dataset, tmp_path / "parts", should_stop=after(whole.best_step + 3))
    assert train(config, dataset, tmp_path / "parts") == whole
    # The best stays although only the newest one is kept, and although a restart came between.
    for workdir in (tmp_path / "whole", tmp_path / "parts"):
        assert saved_steps(workdir) == [whole.best_step, whole.step]
        assert (load_params(workdir).step, load_params(workdir, "latest").step) == (whole.best_step, whole.step)
    more_patience = replace(config, patience=4)
    assert train(more_patience, dataset, workdir, should_stop=after(1)).step == whole.step + 1


def test_checkpoint_every_adds_checkpoints_between_validations(dataset, config, tmp_path):
    config = replace(config, num_steps=8, evaluate_every=8, checkpoint_every=3, keep_checkpoints=9)
    train(config, dataset, tmp_path)
    assert saved_steps(tmp_path) == [3, 6, 8]
    assert show(tmp_path)["best_step"] == 8  # the only one with a measured loss


def test_without_validation_the_latest_is_the_best(config, tmp_path):
    dataset = make_dataset(tmp_path / "set", TRAIN_LENGTHS)
    result = train(replace(config, num_steps=4, evaluate_every=2), dataset, tmp_path / "run")
    assert result == (4, 4, True, None, None, None, None)
    assert load_params(tmp_path / "run").step == 4


def test_a_loss_that_is_not_a_number_ends_the_run_and_is_not_saved(dataset, config, tmp_path):
    optimizer = {"learning_rate": 1e38, "warmup_steps": 0}
    config = replace(config, optimizer=optimizer, evaluate_every=2, log_every=2, rollbacks=0)
    with pytest.raises(
        NonFiniteLossError, match=r"step 1: the .* is inf; .* lower learning rate than 1e\+38"
    ) as caught:
        train(config, dataset, tmp_path)
    assert caught.value.exit_code == ExitCode.NON_FINITE
    with pytest.raises(CheckpointError, match="no finished checkpoint"):
        show(tmp_path)


def test_a_folder_that_cannot_be_made_is_named(dataset, config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=f"{tmp_path / 'file' / 'run'}: Not a directory"):
        train(config, dataset, tmp_path / "file" / "run")


def test_what_was_changed_and_the_events_are_kept(dataset, config, tmp_path):
    train(config, dataset, tmp_path, should_stop=after(5))
    train(replace(config, num_steps=7, optimizer={"clip_norm": 2.0}), dataset, tmp_path)
    (entry,) = show(tmp_path)["history"]
    changes = {"num_steps": [10, 7], "optimizer.clip_norm": [1.0, 2.0]}
    assert entry == {"step": 5, "event": "resumed", "changes": changes}
    events = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    found = [(event["step"], event["event"]) for event in events]
    assert found == [(0, "began"), (5, "stopped"), (5, "resumed"), (7, "finished")]
    assert events[2]["history"] == entry


@pytest.mark.slow
def test_parts_instead_of_devices_change_nothing_but_the_order_of_adding_up(dataset, config, tmp_path):
    config = replace(config, model={"dropout": 0.0})
    train(config, dataset, tmp_path / "whole")
    train(config, dataset, tmp_path / "parts", should_stop=after(5))
    train(replace(config, accumulate=2), dataset, tmp_path / "parts")
    whole, parts = ([line["loss"] for line in read_metrics(tmp_path / name, "train")] for name in ("whole", "parts"))
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_a_trace_of_chosen_steps_is_written(dataset, config, tmp_path):
    train(replace(config, num_steps=3), dataset, tmp_path, profile=range(2, 3))
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_the_steps_of_a_trace_are_a_number_or_two():
    assert (list(steps_to_profile("7")), steps_to_profile("100-105")) == ([7], range(100, 106))
    assert not steps_to_profile("")
    for text in ("0", "5-3", "a", "1-2-3"):
        with pytest.raises(UserError, match="must be a step, or the first and the last"):
            steps_to_profile(text)


def test_a_run_goes_on_with_a_dataset_that_was_made_from_its_own_when_it_is_told_to(config, dataset, tmp_path):
    pieces = {split: len(dataset.source(split)) for split in dataset.splits}
    parts = {split: [dataset.source(split)[i] for i in range(count)] for split, count in pieces.items()}
    made_from = [{"fingerprint": dataset.fingerprint, "removed": ["x"], "pieces": pieces}]
    for name, more in (("smaller", {"made_from": made_from}), ("another", {})):
        write_dataset(tmp_path / name, {**parts, "train": parts["train"][1:]}, dataset.codec, **more)
    smaller, another = (Dataset.open(tmp_path / name) for name in ("smaller", "another"))
    first = replace(config, num_steps=5)
    train(first, dataset, tmp_path / "run")
    with pytest.raises(CheckpointError, match=rf"train {pieces['train']}, now {pieces['train'] - 1}.*--accept-dataset"):
        train(config, smaller, tmp_path / "run")
    with pytest.raises(CheckpointError, match="this run was started differently"):
        train(config, another, tmp_path / "run", accept_dataset=True)
    result = train(config, smaller, tmp_path / "run", accept_dataset=True)
    assert result.step == 10
    (entry,) = show(tmp_path / "run")["history"]
    assert entry["step"] == 5
    assert entry["changes"]["dataset"] == [dataset.fingerprint, smaller.fingerprint]
    train(config, smaller, tmp_path / "run")  # once it is accepted it is the run's own
